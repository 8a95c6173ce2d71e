/* Sources. What a manifest may say is hostile until it is parsed; one bad entry does not stop the
 * others. */
#include "cli/sources.h"

#include "cache/file.h"
#include "cache/utf8.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum { SOURCE_BYTES_MAX = 256 << 20 };

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

static void give_reason(struct source_variant *item, const char *reason)
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

/* JSON that names a variant, for a message. */
static char *shorten(const char *text)
{
    char quoted[JSON_QUOTE_SIZE];
    return strdup(json_quote_string(text, strlen(text), quoted));
}

static char *name_entry(const char *manifest, size_t number)
{
    char *name;
    return asprintf(&name, "%s: entry %zu", manifest, number) < 0 ? NULL : name;
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
        give_reason(item, "its root is not an absolute path");
        return;
    }
    CLEANUP_FREE char *root = malloc(value->text_length + 1);
    if (!root || utf8_to_path(value->text, value->text_length, root) < 0)
        give_reason(item, "its root is not a path");
    else
        item->root = STEAL(root);
}

/*
 * Adds a handle, or why it is none.
 *
 * @param handle NULL: there is none
 * @param root   NULL: none is named
 * @param source where it stands, for people, if it cannot be called by its own name; taken over
 */
static int add_handle(struct sources *sources, const struct json *handle, const struct json *root,
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
        give_reason(item, "there is no handle");
    else if (handle_from_json(handle, &item->handle, &error) < 0)
        give_reason(item, error.message);
    if (item->handle) {
        free(item->text);
        item->text = strdup(item->handle->qualified_name);
    }
    if (root && root->type != JSON_NULL)
        read_root(item, root);
    else if (item->handle)
        item->root = sources_default_root(item->handle);
    return item->text && (item->handle || item->reason) ? 0 : -ENOMEM;
}

int sources_add_variant(struct sources *sources, const char *text, const char *root,
                        struct pkgcache_error *ret_error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    if (*text != '{')
        return error_set(
            ret_error, EINVAL,
            "VARIANT \"%.200s\": not a handle as JSON, and package URIs cannot be read yet", text);
    struct pkgcache_error why;
    int result = json_parse(text, strlen(text), &document, &why);
    if (result < 0)
        return error_set(ret_error, result == -ENOMEM ? ENOMEM : EINVAL,
                         "the VARIANT is not JSON: %.900s", why.message);
    result = add_handle(sources, document->root, NULL, shorten(text));
    struct source_variant *item = &sources->items[sources->count - 1];
    if (result == 0 && root) {
        free(item->root);
        item->root = absolute_path(root);
        result = item->root ? 0 : -ENOMEM;
    }
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}

static int read_manifest(struct sources *sources, const struct json *root, const char *name,
                         struct pkgcache_error *error)
{
    const struct json *variants = json_member(root, "variants");
    if (!variants || variants->type != JSON_ARRAY)
        return error_set(error, EINVAL, "%s: not a manifest: it has no list \"variants\"", name);
    int result = 0;
    size_t number = 1;
    for (const struct json *entry = variants->first; entry && result == 0; entry = entry->next)
        result = add_handle(sources, json_member(entry, "handle"), json_member(entry, "root"),
                            name_entry(name, number++));
    return result < 0 ? error_set(error, -result, "%s: out of memory", name) : 0;
}

static int read_file(struct sources *sources, const char *path, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    int result = file_read(fd, SOURCE_BYTES_MAX, &text, &why);
    if (result == 0)
        result = json_parse(text.bytes ? text.bytes : "", text.length, &document, &why);
    if (!document)
        return error_set(error, -result, "%s: not a manifest: %.900s", path, why.message);
    return read_manifest(sources, document->root, path, error);
}

/* One line of standard input: a path, a handle, an entry of a manifest, or a whole manifest. */
static int read_line(struct sources *sources, const char *line, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    if (*line != '{')
        return read_file(sources, line, error);
    int result = json_parse(line, strlen(line), &document, &why);
    if (result < 0)
        return error_set(error, -result, "standard input: %.900s", why.message);
    if (json_member(document->root, "variants"))
        return read_manifest(sources, document->root, "standard input", error);
    const struct json *handle = json_member(document->root, "handle");
    result = handle
                 ? add_handle(sources, handle, json_member(document->root, "root"), shorten(line))
                 : add_handle(sources, document->root, NULL, shorten(line));
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int read_standard_input(struct sources *sources, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = file_read(STDIN_FILENO, SOURCE_BYTES_MAX, &text, &why);
    if (result < 0)
        return error_set(error, -result, "standard input: %.900s", why.message);
    if (text.length == 0)
        return error_set(error, EINVAL, "standard input: there is nothing in it");
    if (memchr(text.bytes, '\0', text.length))
        return error_set(error, EINVAL, "standard input: there is a NUL in it");
    if (json_parse(text.bytes, text.length, &document, NULL) == 0 &&
        json_member(document->root, "variants"))
        return read_manifest(sources, document->root, "standard input", error);
    char *rest = text.bytes;
    for (char *line; result == 0 && (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t\r");
        size_t length = strlen(line);
        while (length > 0 && isspace((unsigned char)line[length - 1]))
            line[--length] = '\0';
        if (length > 0)
            result = read_line(sources, line, error);
    }
    return result;
}

int sources_read(struct sources *sources, const char *source, struct pkgcache_error *ret_error)
{
    return strcmp(source, "-") == 0 ? read_standard_input(sources, ret_error)
                                    : read_file(sources, source, ret_error);
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
    *item = (struct source_variant){0};
}

static void unite(struct source_variant *first, struct source_variant *again)
{
    char reason[2 * PATH_MAX + 128];
    bool same = !again->root || (first->root && strcmp(first->root, again->root) == 0);
    if (again->reason)
        give_reason(first, again->reason);
    if (!first->root && again->root)
        first->root = STEAL(again->root);
    else if (!same) {
        snprintf(reason, sizeof(reason), "it is named twice, with the roots %s and %s", first->root,
                 again->root);
        give_reason(first, reason);
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
    for (size_t i = 0; i < sources->count; i++)
        item_free(&sources->items[i]);
    free(sources->items);
    *sources = (struct sources){0};
}
