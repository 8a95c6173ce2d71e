/*
 * Values that are built one by one, where JSON's are parsed: what readers of other formats
 * (Python's literals, YAML) make, in the type of JSON values. All live and die together. Not for
 * changing documents that were parsed.
 */
#pragma once

#include "cache/json/json.h"

struct values_block;

/** Starts as `struct values values = {0};`. */
struct values {
    struct values_block *blocks; /* private */
};

/** @return a value of this type, otherwise zero, owned by `values`; NULL: no memory */
struct json *values_new(struct values *values, enum json_type type);

/**
 * A string, or a number as its text.
 *
 * @param bytes copied
 * @return      owned by `values`; NULL: no memory
 */
struct json *values_new_text(struct values *values, enum json_type type, const char *bytes,
                             size_t length);

/** A copy of bytes and a NUL, owned by `values`; NULL: no memory. */
char *values_copy(struct values *values, const char *bytes, size_t length);

/**
 * A copy of a value and all that it points to; it has no key, and follows none.
 *
 * @param value at most JSON_MAX_DEPTH deep
 * @return      owned by `values`; NULL: no memory
 */
struct json *values_copy_value(struct values *values, const struct json *value);

/** Frees all values, and leaves none behind. */
void values_free(struct values *values);

#define CLEANUP_VALUES __attribute__((cleanup(values_free)))
