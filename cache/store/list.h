/* Part of the list of pkgcache.h: what is called so. */
#pragma once

#include "cache/store/cache.h"

/**
 * Visits the variants in the cache whose package has this name, without a walk through all others.
 *
 * @param name  NAME-VERSION, or NAME; what no package can be called has no variants
 * @param visit as of pkgcache_list; not called for what is only queued
 * @return      0, what `visit` returned, or -errno
 */
int list_package(struct pkgcache *cache, const char *name,
                 int (*visit)(void *context, const struct pkgcache_entry *entry), void *context);
