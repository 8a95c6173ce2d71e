/*
 * The coordinator of a run: starts launchers, in rounds, and collects what the nodes report. One
 * process, of a session of its own (cli/cmd_preload.c starts it). It keeps nothing that is not in
 * the run's directory: another one can take over at any moment.
 */
#pragma once

#include "cache/preload/farm_history.h"
#include "cache/preload/farm_launcher.h"

/** The launcher of this name; NULL: there is none. */
const struct farm_launcher *farm_launcher_find(const char *name);

/**
 * Brings a run to its end: each node has everything, or is named with its reason.
 *
 * @param directory locked
 * @param history   opened
 * @return          0: it has ended, and the history says how; or -errno
 */
int farm_coordinate(struct farm_directory *directory, struct farm_history *history,
                    struct pkgcache_error *ret_error);

/**
 * Cancels a run: its coordinator ends it; or, if that is gone, what it has started is ended here,
 * and waited for.
 *
 * @return 0, also when it had ended before; or -errno
 */
int farm_cancel(struct farm_directory *directory, struct farm_history *history,
                struct pkgcache_error *ret_error);
