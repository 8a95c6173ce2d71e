/*
 * JSON that pkgcache says: built with cJSON and printed once. These functions do what cJSON does
 * not: strings that are no UTF-8, integers of 64 bits, and one check for memory at the end. Handles
 * and sidecars are not built here, since each byte of theirs counts (json.h).
 *
 * Start with cJSON_CreateObject() or cJSON_CreateArray(), add, and give the item to json_print().
 * Nothing has to be checked in between: an item to which something could not be added can no longer
 * be printed, and json_print() says so. NULL as the container is fine for the same reason.
 *
 * In all functions: `name` is a literal or outlives the item, since it is not copied; NULL: the
 * container is an array.
 */
#pragma once

#include "cache/util/text.h"

#include <cjson/cJSON.h>

/** A text, a path or other bytes as an item: as json_add_string() adds it. The caller's, or NULL:
 * no memory. */
cJSON *json_create_string(const char *string);

/** Adds an item, which then belongs to the container; NULL: there was no memory for it. */
void json_add_item(cJSON *container, const char *name, cJSON *item);

/** Adds an empty object. Returns it, which belongs to the container; NULL: no memory. */
cJSON *json_add_object(cJSON *container, const char *name);

/** Adds an empty array. Returns it, which belongs to the container; NULL: no memory. */
cJSON *json_add_array(cJSON *container, const char *name);

/** Adds a text, a path or other bytes, which are copied; NULL: adds null. In ASCII, and as
 * json_write_string() has it where it is no UTF-8. */
void json_add_string(cJSON *container, const char *name, const char *string);

/** The same, without a copy: the string must outlive the item. */
void json_add_string_reference(cJSON *container, const char *name, const char *string);

/** Adds a whole number, all digits of it. */
void json_add_integer(cJSON *container, const char *name, int64_t number);

/** Adds a whole number, all digits of it. */
void json_add_unsigned(cJSON *container, const char *name, uint64_t number);

/** Adds a number with so many digits after the point. */
void json_add_decimal(cJSON *container, const char *name, double number, int digits);

void json_add_boolean(cJSON *container, const char *name, bool boolean);

void json_add_null(cJSON *container, const char *name);

/** Adds what is JSON already, and copies it: a handle, a request's id; NULL: no memory. */
void json_add_raw(cJSON *container, const char *name, const char *json);

/** The same, without a copy: the text must outlive the item. */
void json_add_raw_reference(cJSON *container, const char *name, const char *json);

/** The same as json_add_raw() for JSON in a text; its failure is the container's, too. */
void json_add_text(cJSON *container, const char *name, const struct text *json);

/**
 * Appends an item to a text, on one line and without spaces, and frees it. Failure is remembered in
 * the text.
 *
 * @param item NULL: no memory
 */
void json_print(struct text *text, cJSON *item);

/** An item's cleanup, for who may not come to print it. */
static inline void json_item_cleanup(cJSON **item)
{
    cJSON_Delete(*item);
}

#define CLEANUP_ITEM __attribute__((cleanup(json_item_cleanup)))
