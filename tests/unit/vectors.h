/* What the unit tests of formats share: the vectors that rez and Python printed, and short-cuts. */
#pragma once

#include "cache/json/json.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

/** A document of tests/vectors/; the caller frees it. */
static inline struct json_document *vectors_load(const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
    struct json_document *document = NULL;
    struct pkgcache_error error = {0};
    int result = json_read_file(AT_FDCWD, path, 1 << 20, &document, &error);
    cr_assert(result == 0, "%s: %s", path, error.message);
    return document;
}

/** A member that must be there. */
static inline const struct json *vectors_member(const struct json *object, const char *key)
{
    const struct json *member = json_member(object, key);
    cr_assert(member, "no member %s", key);
    return member;
}

/** Whether a text is these bytes. */
static inline bool text_is(const struct text *text, const char *bytes, size_t length)
{
    return !text->error && text->length == length &&
           (length == 0 || memcmp(text->bytes, bytes, length) == 0);
}
