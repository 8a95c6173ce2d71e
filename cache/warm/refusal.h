/* What is not cached although it could be copied, and why. */
#pragma once

#include "cache/store/cache.h"
#include "cache/warm/roots.h"

struct refusal {
    enum pkgcache_status status; /* SKIPPED: an option asks for that; FAILED: it makes no sense */
    char reason[1024];           /* for people */
};

/**
 * Whether a variant is refused.
 *
 * @param check what was found of its root, which is a directory; NULL: it is not copied from there
 */
bool refusal_find(const struct pkgcache *cache, const struct pkgcache_variant *variant,
                  const struct root_check *check, struct refusal *ret);
