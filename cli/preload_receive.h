/* A node receives a pack in parts. */
#pragma once

#include "cli/preload_tell.h"

/**
 * Receives a pack in parts, in a directory that only this user can enter, and brings in what it
 * has. Nothing of it is left.
 *
 * @return as preload_unpack
 */
int preload_receive(struct preload_node *node, struct pkgcache_error *error);
