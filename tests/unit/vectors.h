/* What the unit tests of formats share: the vectors that rez and Python printed, and short-cuts. */
#pragma once

#include "cache/json/json.h"
#include "cache/json/json_build.h"
#include "cache/util/file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

/** A document of tests/vectors/ whose every byte counts: handles, and values to be compared with
 * what our reader reads. The caller frees it. */
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

/** Any other document of tests/vectors/; the caller frees it. */
static inline cJSON *vectors_read(const char *name)
{
    char path[4096];
    CLEANUP_TEXT struct text text = {0};
    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, name);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && file_read(fd, 1 << 20, &text, NULL) == 0, "%s", path);
    cJSON *document = cJSON_Parse(text.bytes);
    cr_assert(document, "%s: no JSON at %.40s", path, cJSON_GetErrorPtr());
    return document;
}

/** A string that must be there. */
static inline const char *vectors_string(const cJSON *object, const char *name)
{
    const char *string = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    cr_assert(string, "no string %s", name);
    return string;
}

/** Whether a text is these bytes. */
static inline bool text_is(const struct text *text, const char *bytes, size_t length)
{
    return !text->error && text->length == length &&
           (length == 0 || memcmp(text->bytes, bytes, length) == 0);
}
