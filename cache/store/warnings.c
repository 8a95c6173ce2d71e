/* Warnings of copies, from the engine to whoever asked for the copy. */
#include "cache/store/warnings.h"

#include "cache/json/json.h"
#include "cache/util/utf8.h"
#include "engine/compiler.h"

#include <stdio.h>
#include <string.h>

enum { KEPT_MAX = 16 }; /* of one copy */

static bool append(struct warnings *warnings, char *path, char *text)
{
    struct pkgcache_warning *items =
        reallocarray(warnings->items, warnings->count + 1, sizeof(*items));
    if (items)
        warnings->items = items;
    if (!items || !path || !text) {
        free(path);
        free(text);
        return false;
    }
    items[warnings->count++] = (struct pkgcache_warning){.path = path, .text = text};
    return true;
}

void warnings_add(struct warnings *warnings, const char *path, const char *text)
{
    if (warnings->count == KEPT_MAX || !append(warnings, strdup(path), strdup(text)))
        warnings->left_out++;
}

void warnings_free(struct pkgcache_result *result)
{
    for (size_t i = 0; i < result->warning_count; i++) {
        free(result->warnings[i].path);
        free(result->warnings[i].text);
    }
    free(result->warnings);
    result->warnings = NULL;
    result->warning_count = 0;
}

void warnings_give(struct warnings *warnings, const char *root, struct pkgcache_result *result)
{
    char text[64];
    snprintf(text, sizeof(text), "%zu more warnings are not shown", warnings->left_out);
    if (warnings->left_out > 0)
        append(warnings, strdup(root), strdup(text));
    warnings_free(result);
    result->warnings = STEAL(warnings->items);
    result->warning_count = warnings->count;
    *warnings = (struct warnings){0};
}

void warnings_clear(struct warnings *warnings)
{
    struct pkgcache_result nobody = {0};
    warnings->left_out = 0;
    warnings_give(warnings, "", &nobody);
    warnings_free(&nobody);
}

void warnings_copy(const struct pkgcache_result *from, struct pkgcache_result *to)
{
    struct warnings warnings = {0};
    for (size_t i = 0; i < from->warning_count; i++)
        append(&warnings, strdup(from->warnings[i].path), strdup(from->warnings[i].text));
    warnings_give(&warnings, "", to);
}

void warnings_add_json(cJSON *object, const struct pkgcache_result *result)
{
    cJSON *array = result->warning_count > 0 ? json_add_array(object, "warnings") : NULL;
    for (size_t i = 0; i < result->warning_count; i++) {
        cJSON *warning = cJSON_CreateObject();
        json_add_string(warning, "path", result->warnings[i].path);
        json_add_string(warning, "text", result->warnings[i].text);
        json_add_item(array, NULL, warning);
    }
}

/* A string of bytes, as json_add_string() wrote it; NULL: it is none. */
static char *read_bytes(const struct json *value)
{
    if (!value || value->type != JSON_STRING || memchr(value->text, '\0', value->text_length))
        return NULL;
    char *bytes = malloc(value->text_length + 1);
    if (bytes && utf8_to_path(value->text, value->text_length, bytes) < 0) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

void warnings_read(const struct json *array, struct pkgcache_result *ret)
{
    struct warnings warnings = {0};
    const struct json *value = array && array->type == JSON_ARRAY ? array->first : NULL;
    for (; value && warnings.count <= KEPT_MAX; value = value->next)
        if (value->type == JSON_OBJECT)
            append(&warnings, read_bytes(json_member(value, "path")),
                   read_bytes(json_member(value, "text")));
    warnings_give(&warnings, "", ret);
}
