/* Definitions that were read, by their directories: each is read once, many side by side. */
#pragma once

#include "cache/rez/definition.h"

/** Starts as `struct definitions definitions = {.rules = ...};`. */
struct definitions {
    const struct rules *rules;
    struct definitions_entry *entries; /* private: sorted by directory */
    size_t count;
};

/**
 * Reads those that were not read before.
 *
 * @param places in any order, also several times the same directory: then the first counts
 * @return       0: each has a result of its own; or -ENOMEM
 */
int definitions_read(struct definitions *definitions, const struct definition_place *places,
                     size_t count);

/** @return as of definition_read, for a directory that was read; *ret belongs to `definitions` */
int definitions_find(const struct definitions *definitions, const char *directory,
                     const struct definition **ret, struct pkgcache_error *ret_error);

void definitions_free(struct definitions *definitions);

#define CLEANUP_DEFINITIONS __attribute__((cleanup(definitions_free)))
