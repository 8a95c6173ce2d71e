/* Equal files of all cached variants share their blocks: see pkgcache_clean's option share. */
#pragma once

#include "cache/clean/cleaning.h"

/**
 * Shares what is not shared yet.
 *
 * @return as cleaning_check(); -EOPNOTSUPP: the cache's file system cannot; or another -errno; with
 *         the error set
 */
int sharing_run(struct cleaning *cleaning);

/**
 * The same without the rest of a clean.
 *
 * @param options its time limit, cancel_fd, dry_run and on_shared count
 * @return        CLEANING_TIME_IS_OVER: not all was looked at; else as sharing_run
 */
int sharing_run_alone(struct pkgcache *cache, const struct pkgcache_clean *options,
                      struct pkgcache_error *error);
