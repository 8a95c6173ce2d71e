/* Warnings of copies: what was left out, or copied otherwise than asked. They go with the result of
 * the variant that was copied. */
#pragma once

#include "cache/json/json_build.h"
#include "cache/pkgcache.h"

struct json;

/** Collects warnings of one copy. All zero: none. */
struct warnings {
    struct pkgcache_warning *items;
    size_t count;
    size_t left_out; /* more than a result has */
};

/** Adds one; the strings are copied. */
void warnings_add(struct warnings *warnings, const char *path, const char *text);

/** Forgets all. */
void warnings_clear(struct warnings *warnings);

/**
 * Hands warnings on to a result, whose former ones are freed.
 *
 * @param root of what was copied: where more were left out, the last says so of it
 */
void warnings_give(struct warnings *warnings, const char *root, struct pkgcache_result *result);

/** Frees those of a result. */
void warnings_free(struct pkgcache_result *result);

/** Copies those of a result to another one that has none; without memory, not all. */
void warnings_copy(const struct pkgcache_result *from, struct pkgcache_result *to);

/** Adds the member "warnings" to an object, if the result has some. */
void warnings_add_json(cJSON *object, const struct pkgcache_result *result);

/** Reads what warnings_add_json wrote. @param array may be NULL, and anything */
void warnings_read(const struct json *array, struct pkgcache_result *ret);
