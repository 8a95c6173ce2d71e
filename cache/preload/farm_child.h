/*
 * Runs a launcher, or one of its helpers: argument vectors, never a shell. A launcher that starts
 * work writes into files, and outlives this process if need be: who holds the lock of its output
 * (flock(2)) still runs.
 */
#pragma once

#include "cache/preload/farm_launcher.h"
#include "cache/util/text.h"

#include <sys/types.h>

/**
 * Starts a program that outlives us: a session of its own. Which process it is, is written down
 * beside its output, for farm_child_end_all.
 *
 * @param directory where the files are
 * @param input     a file there: its standard input
 * @param output    made there, and locked as long as the program, or what it started, runs
 * @param errors    made there
 * @param ret_pid   receives the process, which the caller waits for
 * @return          0; -ENOENT: there is no such program; or -errno
 */
int farm_child_start(const struct farm_arguments *arguments, int directory, const char *input,
                     const char *output, const char *errors, pid_t *ret_pid,
                     struct pkgcache_error *ret_error);

/** Whether a program that farm_child_start started still runs, also when another process did.
 * @return 1, 0 or -errno */
int farm_child_runs(int directory, const char *output);

/**
 * Asks programs that farm_child_start started to end, with all that they started, whoever called
 * it: those that still hold the lock of their output, and are the processes that were written down.
 *
 * @param prefix of the outputs' names
 * @param signal SIGTERM, SIGKILL
 * @return       how many there were
 */
size_t farm_child_end_all(int directory, const char *prefix, int signal);

/**
 * Runs a helper to its end.
 *
 * @param limit_s           it is killed after so long; 0: never
 * @param output_max_bytes  of its standard output; more is refused
 * @param output            receives it
 * @param ret_status        receives its wait status
 * @return                  0; -ENOENT: there is no such program; -EBADMSG: too much output;
 *                          -ETIMEDOUT: it was killed
 */
int farm_child_ask(const struct farm_arguments *arguments, unsigned limit_s,
                   size_t output_max_bytes, struct text *output, struct text *errors,
                   int *ret_status, struct pkgcache_error *ret_error);

enum { FARM_HELPER_S = 120 };
