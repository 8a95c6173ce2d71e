/* Contexts. What rez changes in handles when it loads one: src/rez/resolved_context.py, from_dict.
 */
#include "cache/rez/context.h"

#include "cache/rez/yaml.h"

#include <limits.h>
#include <string.h>

#define BUNDLE_FILE "bundle.yaml"

int context_parse(const char *text, size_t length, struct context *ret,
                  struct pkgcache_error *ret_error)
{
    struct context context = {0};
    struct json *root = NULL;
    int result;
    if (length > 0 && *text == '{') {
        result = json_parse(text, length, &context.document, ret_error);
        context.root = result == 0 ? context.document->root : NULL;
    } else {
        result = yaml_parse(text, length, &context.values, &root, ret_error);
        context.root = root;
    }
    if (result < 0)
        context_free(&context);
    else
        *ret = context;
    return result;
}

/* What rez says of a resolve without a solution. */
static int explain_failure(const struct context *context, const struct json *status,
                           struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    char why[JSON_QUOTE_SIZE];
    const struct json *description = json_member(context->root, "failure_description");
    bool given = description && description->type == JSON_STRING;
    return error_set(error, EINVAL, "the resolve failed: its status is %s%s%s",
                     json_quote(status, quoted), given ? ", because " : "",
                     given ? json_quote(description, why) : "");
}

int context_packages(const struct context *context, const struct json **ret_packages,
                     struct pkgcache_error *ret_error)
{
    char quoted[JSON_QUOTE_SIZE];
    const struct json *status = json_member(context->root, "status");
    const struct json *packages = json_member(context->root, "resolved_packages");
    if (!context->root || context->root->type != JSON_OBJECT || (!status && !packages))
        return error_set(ret_error, EINVAL, "it is not a rez context");
    if (status && !json_is_string(status, "solved"))
        return explain_failure(context, status, ret_error);
    if (!packages || packages->type != JSON_ARRAY)
        return error_set(ret_error, EINVAL, "its resolved_packages %s%s",
                         packages ? "must be a list, but is " : "are missing",
                         packages ? json_quote(packages, quoted) : "");
    *ret_packages = packages;
    return 0;
}

/* --- handles --- */

int context_find_place(const char *path, struct context_place *ret)
{
    CLEANUP_FREE char *file = NULL;
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *directory =
        slash > path ? strndup(path, (size_t)(slash - path)) : strdup("/");
    *ret = (struct context_place){0};
    if (!directory || asprintf(&file, "%s/" BUNDLE_FILE, directory) < 0)
        return -ENOMEM;
    if (access(file, F_OK) == 0)
        ret->bundle = STEAL(directory);
    return 0;
}

/* Whether handles are of the form before serialize version 4. */
static bool is_old(const struct context *context)
{
    const struct json *version = json_member(context->root, "serialize_version");
    if (!version || (version->type != JSON_STRING && version->type != JSON_INTEGER &&
                     version->type != JSON_REAL))
        return false;
    return version->text_length > 0 && version->text[0] >= '0' && version->text[0] < '4' &&
           (version->text_length == 1 || version->text[1] == '.');
}

/* Appends a member to an object; `value` NULL: null. */
static int add_member(struct values *values, struct json *object, const char *key,
                      const struct json *value)
{
    struct json *copy = value ? values_copy_value(values, value) : values_new(values, JSON_NULL);
    if (!copy)
        return -ENOMEM;
    struct json **end = (struct json **)&object->first;
    while (*end)
        end = (struct json **)&(*end)->next;
    copy->key = key;
    copy->key_length = strlen(key);
    copy->next = NULL;
    *end = copy;
    return 0;
}

static int add_text(struct values *values, struct json *object, const char *key, const char *text)
{
    const struct json *value = values_new_text(values, JSON_STRING, text, strlen(text));
    return value ? add_member(values, object, key, value) : -ENOMEM;
}

/* rez's convert_old_variant_handle: src/rez/utils/backcompat.py. */
static int convert_old(struct values *values, const struct json *handle, const struct json **ret)
{
    static const char *const names[][2] = {
        {"location", "search_path"}, {"name", "name"}, {"version", "version"}, {"index", "index"}};
    const struct json *path = json_member(handle, "path");
    const struct json *before = json_member(handle, "variables");
    if (!path || path->type != JSON_STRING)
        return 0;
    const char *slash = strrchr(path->text, '/');
    const char *file = slash ? slash + 1 : path->text;
    bool plain = strncmp(file, "package", 7) == 0 && strchr(file, '.') == file + 7;
    struct json *converted = values_new(values, JSON_OBJECT);
    struct json *variables = values_new(values, JSON_OBJECT);
    int result = converted && variables ? 0 : -ENOMEM;
    if (result == 0)
        result = add_text(values, variables, "repository_type", "filesystem");
    for (size_t i = 0; i < ARRAY_LENGTH(names) && result == 0; i++)
        result = add_member(values, variables, names[i][0], json_member(before, names[i][1]));
    if (result == 0)
        result = add_text(values, converted, "key",
                          plain ? "filesystem.variant" : "filesystem.variant.combined");
    if (result == 0)
        result = add_member(values, converted, "variables", variables);
    if (result == 0)
        *ret = converted;
    return result;
}

/* Makes a location in a bundle absolute, and follows its links, as rez does. */
static int move_location(struct values *values, const char *bundle, const struct json *location,
                         const struct json **ret)
{
    CLEANUP_FREE char *relative = malloc(location->text_length + 1);
    CLEANUP_FREE char *path = NULL;
    CLEANUP_TEXT struct text text = {0};
    if (!relative)
        return -ENOMEM;
    if (utf8_to_path(location->text, location->text_length, relative) < 0)
        return 0;
    if (asprintf(&path, "%s/%s", strcmp(bundle, "/") == 0 ? "" : bundle, relative) < 0)
        return -ENOMEM;
    CLEANUP_FREE char *canonical = realpath(path, NULL);
    const char *found = canonical ? canonical : path;
    utf8_append_path(&text, found, strlen(found));
    *ret = text.error ? NULL : values_new_text(values, JSON_STRING, text.bytes, text.length);
    return *ret ? 0 : -ENOMEM;
}

static int adapt_to_bundle(struct values *values, const char *bundle, const struct json *handle,
                           const struct json **ret)
{
    const struct json *variables = json_member(handle, "variables");
    const struct json *location = json_member(variables, "location");
    const struct json *moved = NULL;
    if (!json_is_string(json_member(variables, "repository_type"), "filesystem") || !location ||
        location->type != JSON_STRING || location->text_length == 0 || location->text[0] == '/' ||
        memchr(location->text, '\0', location->text_length))
        return 0;
    int result = move_location(values, bundle, location, &moved);
    if (result < 0 || !moved)
        return result;
    struct json *copy = values_copy_value(values, handle);
    if (!copy)
        return -ENOMEM;
    struct json *place =
        (struct json *)json_member(json_member(copy, "variables"), "location"); /* our own */
    place->text = moved->text;
    place->text_length = moved->text_length;
    *ret = copy;
    return 0;
}

int context_adapt_handle(const struct context *context, const struct context_place *place,
                         struct values *values, const struct json *handle, const struct json **ret)
{
    *ret = handle;
    int result = is_old(context) ? convert_old(values, handle, ret) : 0;
    if (result == 0 && place && place->bundle)
        result = adapt_to_bundle(values, place->bundle, *ret, ret);
    return result;
}

void context_free(struct context *context)
{
    json_document_free(context->document);
    values_free(&context->values);
    *context = (struct context){0};
}
