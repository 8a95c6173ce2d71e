/* What the files of preload share: starting and following a run, its table, the part on a node. */
#pragma once

#include "cache/preload/farm_directory.h"
#include "cache/preload/farm_history.h"
#include "cli/options.h"

/** A path that stays what it is when somebody goes elsewhere. @return allocated; NULL: no memory */
char *preload_make_absolute(const char *path);

/**
 * Starts the coordinator of a run: a process of a session of its own, which goes on when this one
 * is interrupted.
 *
 * @param directory locked; the lock is the coordinator's from now on
 * @param history   opened
 * @return          an exit code, or -1: it runs
 */
int preload_start(const struct options *options, struct farm_directory *directory,
                  struct farm_history *history);

/**
 * Waits for the end of a run, and prints its table. An interruption ends the waiting only.
 *
 * @param history opened
 * @return        the run's exit code; EXIT_FAILED: its coordinator was killed
 */
int preload_follow(const struct options *options, const struct farm_directory *directory,
                   struct farm_history *history);

/** Prints what became of a run. @return an exit code: EXIT_DONE, unless printing failed */
int preload_print(const struct options *options, const struct farm_run *run, bool is_dry);

/** `preload --on-node`: reads an order on standard input, does it, reports on standard output.
 * @return an exit code, which counts nothing: the report does */
int preload_on_node(struct options *options);
