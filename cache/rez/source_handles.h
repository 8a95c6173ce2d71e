/*
 * Stage 2 of what is named (sources.h): from named things to variants with handles, or with the
 * reason why they have none. A directory becomes all variants in it. Whether the cache has them is
 * not asked.
 */
#pragma once

#include "cache/rez/repository.h"
#include "cache/rez/source_names.h"
#include "cache/rez/source_variants.h"

/**
 * Finds the handles of what was named, and adds the variants in the same order.
 *
 * @param names        what they point to is taken over: to be cleared, and not used again
 * @param repositories asked where there are URIs and directories; else it may be NULL
 * @param force        directories name what is not cachable, too
 * @return             0; -ENOENT: a directory without packages; or -errno. A variant that is
 *                     refused has a reason, and that is no failure
 */
int source_handles_find(struct source_names *names, struct repositories *repositories, bool force,
                        struct source_variants *variants, struct pkgcache_error *ret_error);
