/*
 * Arrays of callers whose elements may be of an older or a newer header: struct pkgcache_variant
 * and struct pkgcache_result. Inside, all are of this library's size.
 */
#pragma once

#include "cache/pkgcache.h"

/** What a warm works with. */
struct elements {
    struct pkgcache_variant *variants;
    struct pkgcache_result *results;
};

/** Whether results of this size have all members that the first version had. */
bool elements_have_result(size_t result_size);

/** Gives the caller one of his results: as much as both sides know, the rest is zero. What he does
 * not know of is freed. */
void elements_give_result(struct pkgcache_result *results, size_t result_size, size_t index,
                          struct pkgcache_result *ours);

/**
 * Takes the variants of a caller, and makes as many empty results.
 *
 * @param warm        the caller's; from now on, its variants are those of `ret`
 * @param results     the caller's, which are filled in when there is no memory
 * @param ret         ended with elements_give
 * @return            0; -EINVAL: a size is missing, or only a newer library can do it; -ENOMEM
 */
int elements_take(struct pkgcache_warm *warm, struct pkgcache_result *results, struct elements *ret,
                  struct pkgcache_error *ret_error);

/** Gives the caller all results, strings included, and frees the elements. */
void elements_give(struct elements *elements, const struct pkgcache_warm *warm,
                   struct pkgcache_result *results);
