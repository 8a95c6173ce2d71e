/*
 * Who can have put something into a cache: for those who do not want to run what others have put
 * there (pkgcache_options.own_only), believe what they wrote down, or repair from where they say.
 */
#pragma once

#include "cache/store/cache.h"

#include <stdbool.h>

/** Whether a file belongs to root or to this user, and nobody else may write to it. */
bool own_is_ours(const struct stat *status);

/**
 * Whether nobody else can replace what lies in a hash directory: it and the directories above it,
 * up to the cache's own, belong to root or to this user, and whoever else may write to one of them
 * is kept by its sticky bit from what is not theirs.
 */
bool own_is_hash_directory_safe(const struct pkgcache *cache, int hash_fd);

/**
 * Whether each directory from the cache's to this one was made where it is, and by its owner.
 * Another user can have moved one here out of a payload only if that user may write to it; and in a
 * payload none that others may write to is sticky (copyengine_copy.owned_directories).
 */
bool own_was_made_here(const struct pkgcache *cache, int hash_fd);
