/* Going through all hash directories of a cache. */
#pragma once

#include "cache/cache.h"

/**
 * Calls `visit` for each NAME/VERSION/HASH4 directory. What comes or goes meanwhile may or may not
 * be visited.
 *
 * @param visit hash_fd was just opened and is closed when it returns; `path` is relative to the
 * cache; non-zero ends the walk
 * @return      0, what `visit` returned, or -errno
 */
int tree_visit(const struct pkgcache *cache,
               int (*visit)(void *context, int hash_fd, const char *path), void *context);

/**
 * The same by several threads, if there are many packages: `visit` is called by more than one at
 * once. All have ended when this returns.
 */
int tree_visit_threaded(const struct pkgcache *cache,
                        int (*visit)(void *context, int hash_fd, const char *path), void *context);
