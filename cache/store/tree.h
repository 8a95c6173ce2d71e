/* Visits the directories of a cache. */
#pragma once

#include "cache/store/cache.h"

/** How deep a directory lies. */
enum tree_level { TREE_NAME = 1, TREE_VERSION, TREE_HASH };

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

/**
 * The same in the order of names, level by level, beginning after a path: a visit that was stopped
 * is continued there, whatever has come and gone meanwhile.
 *
 * @param after NAME/VERSION/HASH4, itself not visited again; "": from the beginning
 */
int tree_visit_after(const struct pkgcache *cache, const char *after,
                     int (*visit)(void *context, int hash_fd, const char *path), void *context);

/** Calls `visit` for each directory of a level, in the order of names. */
int tree_visit_level(const struct pkgcache *cache, enum tree_level level,
                     int (*visit)(void *context, int fd, const char *path), void *context);

/**
 * Opens a directory of the tree. No symbolic link is followed.
 *
 * @param path relative to the cache
 * @return     a descriptor or -errno
 */
int tree_open(const struct pkgcache *cache, const char *path);
