/*
 * Stage 5 of what is named (sources.h): from variants to what pkgcache_warm takes, and from its
 * results back to what was named. Who warms is the caller's business.
 */
#pragma once

#include "cache/rez/source_variants.h"

/** What is to be brought into the cache. Starts as `struct source_additions additions = {0};`. */
struct source_additions {
    struct pkgcache_variant *variants;
    struct pkgcache_result *results; /* of each, by whoever warms */
    size_t *places;                  /* of each, in the list of what was named */
    struct warm_supply **supplies;   /* of each, what brings its payload, which is the variant's; or
                                        NULL */
    bool any_supplied;
    size_t count;
};

/** The result of a variant that has a reason: FAILED, or SKIPPED where its package is refused. */
struct pkgcache_result source_variant_result(const struct source_variant *variant);

/**
 * Makes additions of those variants that can be cached.
 *
 * @param places those to be looked at
 * @param ret    freed with source_additions_free; the variants must outlive it
 * @return       0 or -ENOMEM
 */
int source_additions_make(const struct source_variants *variants,
                          const struct source_places *places, bool force,
                          struct source_additions *ret);

/**
 * Finds those that had no root, because the cache had them, and that it did not have any more when
 * they were warmed.
 *
 * @param ret their places in the list; freed with source_places_free
 * @return    0 or -ENOMEM
 */
int source_additions_find_rootless(const struct source_additions *additions,
                                   struct source_places *ret);

/**
 * Hands the results on to what was named. Those that can be cached get what was warmed, the others
 * their reasons.
 *
 * @param places  as of source_additions_make
 * @param results one for each variant of the list; those of the places are replaced
 */
void source_additions_join(struct source_additions *additions,
                           const struct source_variants *variants,
                           const struct source_places *places, struct pkgcache_result *results);

void source_additions_free(struct source_additions *additions);

#define CLEANUP_ADDITIONS __attribute__((cleanup(source_additions_free)))
