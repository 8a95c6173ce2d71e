/* The list of variants. What is wrong with one does not stop the others. */
#include "cache/rez/sources_parts.h"

#include "cache/rez/uri.h"
#include "cache/util/utf8.h"

#include <limits.h>
#include <string.h>

static struct source_variant *add_item(struct sources *sources)
{
    struct source_variant *items =
        realloc(sources->items, (sources->count + 1) * sizeof(*sources->items));
    if (!items)
        return NULL;
    sources->items = items;
    items[sources->count] = (struct source_variant){0};
    return &items[sources->count++];
}

void sources_give_reason(struct source_variant *item, const char *reason)
{
    if (!item->reason)
        item->reason = strdup(reason);
}

/* Where a variant without subpath is, by its handle alone. */
char *sources_default_root(const struct pkgcache_handle *handle)
{
    char *root;
    if (handle->index != HANDLE_NO_INDEX)
        return NULL;
    int length = asprintf(&root, "%s/%s%s%s", handle->location, handle->name,
                          handle->version ? "/" : "", handle->version ? handle->version : "");
    return length < 0 ? NULL : root;
}

char *sources_shorten(const char *text)
{
    char quoted[JSON_QUOTE_SIZE];
    return strdup(json_quote_string(text, strlen(text), quoted));
}

static char *absolute_path(const char *path)
{
    char *absolute;
    if (*path == '/')
        return strdup(path);
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    return here && asprintf(&absolute, "%s/%s", here, path) >= 0 ? absolute : NULL;
}

/* The root that an entry of a manifest names. */
static void read_root(struct source_variant *item, const struct json *value)
{
    if (value->type != JSON_STRING || value->text_length == 0 || *value->text != '/' ||
        memchr(value->text, '\0', value->text_length)) {
        sources_give_reason(item, "its root is not an absolute path");
        return;
    }
    CLEANUP_FREE char *root = malloc(value->text_length + 1);
    if (!root || utf8_to_path(value->text, value->text_length, root) < 0)
        sources_give_reason(item, "its root is not a path");
    else
        item->root = STEAL(root);
}

int sources_add_handle(struct sources *sources, const struct json *handle, const struct json *root,
                       char *source)
{
    struct pkgcache_error error;
    struct source_variant *item = add_item(sources);
    if (!item || !source) {
        free(source);
        return -ENOMEM;
    }
    item->text = source;
    if (handle) {
        struct text json = {0};
        json_write(&json, handle);
        text_steal(&json, &item->handle_json, NULL);
    }
    if (!handle)
        sources_give_reason(item, "\"handle\" is missing");
    else if (handle_from_json(handle, &item->handle, &error) < 0)
        sources_give_reason(item, error.message);
    if (item->handle) {
        free(item->text);
        item->text = strdup(item->handle->qualified_name);
    }
    if (root && root->type != JSON_NULL)
        read_root(item, root);
    return item->text && (item->handle || item->reason) ? 0 : -ENOMEM;
}

static struct source_variant *last_item(struct sources *sources)
{
    return &sources->items[sources->count - 1];
}

int sources_add_uri(struct sources *sources, const char *uri, struct pkgcache_error *ret_error)
{
    struct pkgcache_handle *handle = NULL;
    CLEANUP_FREE char *absolute = absolute_path(uri);
    int result = absolute ? repository_handle(absolute, &handle, ret_error) : -ENOMEM;
    if (result == -ENOMEM || result == -EINVAL)
        return result;
    struct source_variant *item = add_item(sources);
    if (!item) {
        handle_free(handle);
        return -ENOMEM;
    }
    *item = (struct source_variant){.handle = handle, .text = strdup(uri), .has_definition = true};
    if (result < 0)
        sources_give_reason(item, ret_error->message);
    return item->text && (handle || item->reason) ? 0 : -ENOMEM;
}

/* A handle as JSON. */
static int add_json(struct sources *sources, const char *text, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = json_parse(text, strlen(text), &document, &why);
    if (result < 0)
        return error_set(error, result == -ENOMEM ? ENOMEM : EINVAL,
                         "the VARIANT is not JSON: %.900s", why.message);
    return sources_add_handle(sources, document->root, NULL, sources_shorten(text));
}

int sources_add_variant(struct sources *sources, const char *text, const char *root,
                        struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    int result =
        *text == '{' ? add_json(sources, text, &why) : sources_add_uri(sources, text, &why);
    if (result == -EINVAL && *text != '{')
        return error_set(ret_error, EINVAL, "VARIANT: neither a handle as JSON nor a URI: %.900s",
                         why.message);
    if (result == -EINVAL)
        return error_set(ret_error, EINVAL, "%s", why.message);
    if (result == 0 && root) {
        free(last_item(sources)->root);
        last_item(sources)->root = absolute_path(root);
        result = last_item(sources)->root ? 0 : -ENOMEM;
    }
    return result < 0 ? error_set(ret_error, ENOMEM, "out of memory") : 0;
}

int sources_add_found(struct sources *sources, const struct repository_variant *variant)
{
    const struct pkgcache_handle *handle = variant->handle;
    struct source_variant *item = add_item(sources);
    if (!item)
        return -ENOMEM;
    item->text = strdup(variant->uri);
    item->root = strdup(variant->root);
    item->requires_json = variant->requires_json ? strdup(variant->requires_json) : NULL;
    int result = handle_create(handle->location, handle->name, handle->version, handle->index,
                               &item->handle, NULL);
    return item->text && item->root && (item->requires_json || !variant->requires_json) ? result
                                                                                        : -ENOMEM;
}

int sources_add_failure(struct sources *sources, const char *what, const char *reason)
{
    struct source_variant *item = add_item(sources);
    if (!item)
        return -ENOMEM;
    item->text = strdup(what);
    sources_give_reason(item, reason);
    return item->text && item->reason ? 0 : -ENOMEM;
}

static int compare_handles(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    int order = strcmp(a->relative_path, b->relative_path);
    if (order == 0)
        order = strcmp(a->location_text, b->location_text);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

/* By handle; those that are equal stay in the order in which they were named. */
static int compare_items(const void *left, const void *right)
{
    const struct source_variant *a = *(const struct source_variant *const *)left;
    const struct source_variant *b = *(const struct source_variant *const *)right;
    int order = compare_handles(a->handle, b->handle);
    return order ? order : (a > b) - (a < b);
}

static void item_free(struct source_variant *item)
{
    handle_free(item->handle);
    free(item->handle_json);
    free(item->text);
    free(item->root);
    free(item->reason);
    free(item->requires_json);
    *item = (struct source_variant){0};
}

static void unite(struct source_variant *first, struct source_variant *again)
{
    char reason[2 * PATH_MAX + 128];
    bool same = !again->root || (first->root && strcmp(first->root, again->root) == 0);
    if (again->reason)
        sources_give_reason(first, again->reason);
    if (!first->requires_json)
        first->requires_json = STEAL(again->requires_json);
    first->has_definition = first->has_definition || again->has_definition;
    if (!first->root && again->root)
        first->root = STEAL(again->root);
    else if (!same) {
        snprintf(reason, sizeof(reason), "it is named with two different roots, %s and %s",
                 first->root, again->root);
        sources_give_reason(first, reason);
    }
    item_free(again);
}

int sources_unite(struct sources *sources)
{
    CLEANUP_FREE struct source_variant **sorted = calloc(sources->count + 1, sizeof(*sorted));
    size_t count = 0;
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < sources->count; i++)
        if (sources->items[i].handle)
            sorted[count++] = &sources->items[i];
    qsort(sorted, count, sizeof(*sorted), compare_items);
    for (size_t i = 0, first = 0; i < count; i++) {
        if (i > first && compare_handles(sorted[first]->handle, sorted[i]->handle) == 0)
            unite(sorted[first], sorted[i]);
        else
            first = i;
    }
    size_t kept = 0;
    for (size_t i = 0; i < sources->count; i++)
        if (sources->items[i].text)
            sources->items[kept++] = sources->items[i];
    sources->count = kept;
    return 0;
}

void sources_free(struct sources *sources)
{
    repositories_free(sources->repositories);
    for (size_t i = 0; i < sources->count; i++)
        item_free(&sources->items[i]);
    free(sources->items);
    *sources = (struct sources){0};
}
