/* A node fills its cache from a pack. */
#pragma once

#include "cli/preload_tell.h"

/**
 * Brings in what a pack has, by `pkgcache warm PACK` in a process of its own, and tells what became
 * of it.
 *
 * @param path a pack, whose index must have the digest of the order
 * @return     0: what is not told is not in the pack; or -errno
 */
int preload_unpack(struct preload_node *node, const char *path, struct pkgcache_error *error);
