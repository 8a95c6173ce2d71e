/* Whether a file system can carry the lock of a cache at all. */
#pragma once

#include "cache/util/error.h"

/** How the names of its files begin: one that was killed leaves them. */
#define LOCK_PROBE_PREFIX ".pkgcache-probe-"

/**
 * Tries what the lock rests on, with a file of its own that is gone when the call returns: two
 * names of one file are recognized, and a lock keeps others out.
 *
 * @param dirfd      a directory on that file system
 * @param cache_path of the cache, for the message
 * @param error      filled in when it cannot
 * @return           0: it can; 1: nothing could be made there to try it with; -EOPNOTSUPP: it
 * cannot, and the message says why and what to do
 */
int lock_probe(int dirfd, const char *cache_path, struct pkgcache_error *error);
