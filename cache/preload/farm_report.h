/* The file that --report names: the facts of a run, as JSON or as a page. */
#pragma once

#include "cache/preload/farm_run.h"

/**
 * Writes the facts aside, and renames the file, so that nobody reads half of one.
 *
 * @param path what ends in .html is a page, all else JSON
 * @return     0 or -errno
 */
int farm_report_write(const char *path, const struct farm_run *run,
                      struct pkgcache_error *ret_error);

/** Refuses a report in a directory that is not there or is not ours to write in: the run's end
 * would be late to say so. @return 0 or -errno */
int farm_report_check(const char *path, struct pkgcache_error *ret_error);
