/*
 * SIGINT and SIGTERM while nothing has begun that would have to be undone: sources are read, from a
 * server that hangs perhaps, or from a pipe. They end the process at once, and it says so. What has
 * begun ends cleanly by itself (signals.h).
 */
#pragma once

#include "cli/options.h"

/**
 * From now on an interruption ends the process: message, exit status. Before any thread starts.
 *
 * @param options outlive the process
 * @param message "interrupted: ..."; static
 */
void interruption_begin(const struct options *options, const char *message);

/** Names a file that is removed then. @param path outlives the process; NULL: none */
void interruption_remove(const char *path);

/** An interruption that comes now ends the process at interruption_release: for what takes a moment
 * and must not be left half done. */
void interruption_hold(void);
void interruption_release(void);

/** From now on an interruption does not end the process any more, but makes signals_fd() readable.
 * If it has come already, this does not return. */
void interruption_end(void);
