/* Reading what names variants: contexts, manifests, lines. All of it is hostile until parsed. */
#include "cache/rez/source_names.h"

#include "cache/rez/context.h"
#include "cache/rez/uri.h"
#include "cache/util/error.h"
#include "cache/util/file.h"
#include "cache/util/suggest.h"
#include "cache/util/utf8.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { SOURCE_BYTES_MAX = 256 << 20 };

/* --- the list --- */

static struct source_name *add_name(struct source_names *names, enum source_kind kind)
{
    if (names->count == names->capacity) {
        size_t capacity = MAX(2 * names->capacity, (size_t)64);
        struct source_name *items = reallocarray(names->items, capacity, sizeof(*items));
        if (!items)
            return NULL;
        names->items = items;
        names->capacity = capacity;
    }
    names->items[names->count] = (struct source_name){.kind = kind};
    return &names->items[names->count++];
}

void source_name_give_reason(struct source_name *name, const char *reason)
{
    if (!name->reason)
        name->reason = strdup(reason);
}

static void free_name(struct source_name *name)
{
    free(name->path);
    free(name->text);
    free(name->root);
    free(name->requires_json);
    free(name->context);
    free(name->reason);
    if (name->supply)
        name->supply->kind->release(name->supply);
}

void source_names_clear(struct source_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free_name(&names->items[i]);
    free(names->items);
    values_free(&names->values);
    *names = (struct source_names){
        .all = names->all, .guarded = names->guarded, .archives = names->archives};
}

/* JSON that names a variant, shortened for a message; allocated. */
static char *shorten(const char *text)
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
static void read_root(struct source_name *name, const struct json *value)
{
    if (value->type != JSON_STRING || value->text_length == 0 || *value->text != '/' ||
        memchr(value->text, '\0', value->text_length)) {
        source_name_give_reason(name, "its root is not an absolute path");
        return;
    }
    CLEANUP_FREE char *root = malloc(value->text_length + 1);
    if (!root || utf8_to_path(value->text, value->text_length, root) < 0)
        source_name_give_reason(name, "its root is not a path");
    else
        name->root = STEAL(root);
}

int source_names_add_handle(struct source_names *names, const struct json *handle,
                            const struct json *root, char *text)
{
    struct source_name *name = text ? add_name(names, SOURCE_HANDLE) : NULL;
    if (!name) {
        free(text);
        return -ENOMEM;
    }
    name->text = text;
    if (handle)
        name->handle = values_copy_value(&names->values, handle);
    if (root && root->type != JSON_NULL)
        read_root(name, root);
    return name->handle || !handle ? 0 : -ENOMEM;
}

/* Adds what is known by a path. Takes the path over. */
static int add_path(struct source_names *names, enum source_kind kind, char *path, const char *text)
{
    struct source_name *name = path ? add_name(names, kind) : NULL;
    if (!name) {
        free(path);
        return -ENOMEM;
    }
    name->path = path;
    name->text = strdup(text);
    name->has_definition = true;
    return name->text ? 0 : -ENOMEM;
}

int source_names_add_uri(struct source_names *names, const char *uri)
{
    return add_path(names, SOURCE_URI, strdup(uri), uri);
}

static int add_relative_uri(struct source_names *names, const char *uri)
{
    return add_path(names, SOURCE_URI, absolute_path(uri), uri);
}

/* A handle as JSON. */
static int add_json(struct source_names *names, const char *text, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = json_parse(text, strlen(text), &document, &why);
    if (result < 0)
        return error_set(error, result == -ENOMEM ? ENOMEM : EINVAL, "%.200s: no handle: %.700s",
                         text, why.message);
    result = source_names_add_handle(names, document->root, NULL, shorten(text));
    return result < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

int source_names_add_variant(struct source_names *names, const char *text, const char *root,
                             struct pkgcache_error *ret_error)
{
    int result = 0;
    if (*text == '{')
        result = add_json(names, text, ret_error);
    else if (add_relative_uri(names, text) < 0)
        result = error_set(ret_error, ENOMEM, "out of memory");
    if (result < 0 || !root)
        return result;
    source_names_last(names)->root = absolute_path(root);
    return source_names_last(names)->root ? 0 : error_set(ret_error, ENOMEM, "out of memory");
}

/* --- contexts and manifests --- */

static char *name_entry(const char *document, size_t number)
{
    char *name;
    return asprintf(&name, "%s: entry %zu", document, number) < 0 ? NULL : name;
}

/*
 * Keys that others add are passed over; one that is nearly ours is a mistake, after which a root
 * that was named would not be the one that is copied.
 *
 * @param ret the key; may be cut off
 * @return    what it should be; NULL: nothing is mistyped
 */
static const char *find_mistyped(const struct json *object, const char *const *keys,
                                 char ret[static JSON_QUOTE_SIZE])
{
    if (object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *member = object->first; member; member = member->next) {
        struct suggestion suggestion = {.typed = ret};
        snprintf(ret, JSON_QUOTE_SIZE, "%s", member->key);
        for (const char *const *key = keys; *key; key++)
            suggestion_try(&suggestion, *key);
        if (suggestion.best && suggestion.distance > 0)
            return suggestion.best;
    }
    return NULL;
}

/* An entry of a manifest, or its line. Takes the text over, which is what messages call it. */
static int add_entry(struct source_names *names, const struct json *entry, char *text)
{
    static const char *const keys[] = {"handle", "root", "requires", NULL};
    char key[JSON_QUOTE_SIZE];
    char reason[2 * JSON_QUOTE_SIZE];
    int result = source_names_add_handle(names, json_member(entry, "handle"),
                                         json_member(entry, "root"), text);
    const char *meant = find_mistyped(entry, keys, key);
    if (result < 0 || !meant)
        return result;
    snprintf(reason, sizeof(reason), "unknown key \"%s\"; did you mean \"%s\"?", key, meant);
    source_name_give_reason(source_names_last(names), reason);
    return 0;
}

static int read_manifest(struct source_names *names, const struct json *variants,
                         const char *document, struct pkgcache_error *error)
{
    if (variants->type != JSON_ARRAY)
        return error_set(error, EINVAL, "%s: not a manifest: \"variants\" is not a list", document);
    int result = 0;
    size_t number = 1;
    for (const struct json *entry = variants->first; entry && result == 0; entry = entry->next)
        result = add_entry(names, entry, name_entry(document, number++));
    return result < 0 ? error_set(error, -result, "%s: out of memory", document) : 0;
}

/* One entry of a context. */
static int add_package(struct source_names *names, const struct context *context,
                       const struct context_place *place, const struct json *entry,
                       const char *path, char *text)
{
    const struct json *handle = entry;
    if (context_adapt_handle(context, place, &names->values, entry, &handle) < 0) {
        free(text);
        return -ENOMEM;
    }
    int result = source_names_add_handle(names, handle, NULL, text);
    if (result < 0)
        return result;
    struct source_name *name = source_names_last(names);
    name->has_definition = name->of_context = true;
    name->context = path ? strdup(path) : NULL;
    return path && !name->context ? -ENOMEM : 0;
}

/* @param path of the context's file; NULL: a stream */
static int read_context(struct source_names *names, const struct context *context,
                        const struct json *packages, const char *path, const char *document,
                        struct pkgcache_error *error)
{
    CLEANUP_FREE char *absolute = path ? absolute_path(path) : NULL;
    struct context_place place = {0};
    int result = path && (!absolute || context_find_place(absolute, &place) < 0) ? -ENOMEM : 0;
    size_t number = 1;
    for (const struct json *one = packages->first; one && result == 0; one = one->next)
        result = add_package(names, context, &place, one, absolute, name_entry(document, number++));
    free(place.bundle);
    return result < 0 ? error_set(error, -result, "%s: out of memory", document) : 0;
}

static int check_length(const struct source_names *names, const struct json *list,
                        const char *document, struct pkgcache_error *error)
{
    size_t length = 0;
    if (!names->guarded)
        return 0;
    for (const struct json *entry = list->first; entry; entry = entry->next)
        length++;
    return length <= SOURCES_GUARDED_MAX
               ? 0
               : error_set(error, E2BIG, "%s: it names more than %d variants", document,
                           SOURCES_GUARDED_MAX);
}

/* What is wrong with what is neither a manifest nor a context; NULL: a context that is no good. */
static const char *explain_document(const struct json *root)
{
    if (!root || root->type == JSON_NULL || (root->type == JSON_STRING && root->text_length == 0))
        return "it is empty";
    if (root->type == JSON_ARRAY)
        return "it is a list; a manifest is {\"variants\": [...]}";
    if (root->type != JSON_OBJECT)
        return "a manifest is {\"variants\": [...]}, and a context is what rez-env --output writes";
    if (json_member(root, "status") || json_member(root, "resolved_packages"))
        return NULL;
    return "it has no list \"variants\", and is not a rez context";
}

/* @param path of its file; NULL: a stream */
static int read_document(struct source_names *names, const struct context *context,
                         const char *path, const char *document, struct pkgcache_error *error)
{
    struct pkgcache_error why;
    static const char *const document_keys[] = {"variants", NULL};
    const struct json *packages = NULL;
    const struct json *variants = json_member(context->root, "variants");
    char key[JSON_QUOTE_SIZE];
    const char *meant = context->root ? find_mistyped(context->root, document_keys, key) : NULL;
    if (meant && (variants || !json_member(context->root, "resolved_packages")))
        return error_set(error, EINVAL, "%s: unknown key \"%s\"; did you mean \"%s\"?", document,
                         key, meant);
    const char *fault = variants ? NULL : explain_document(context->root);
    if (fault)
        return error_set(error, EINVAL, "%s: neither a manifest nor a context: %s", document,
                         fault);
    int result = variants ? 0 : context_packages(context, &packages, &why);
    if (result < 0)
        return error_set(error, -result,
                         "%s: neither a manifest nor a context that can be used: %.900s", document,
                         why.message);
    result = check_length(names, variants ? variants : packages, document, error);
    if (result < 0)
        return result;
    return variants ? read_manifest(names, variants, document, error)
                    : read_context(names, context, packages, path, document, error);
}

/* --- files, lines, standard input --- */

static int add_directory(struct source_names *names, const char *path, struct pkgcache_error *error)
{
    if (!names->all)
        return error_set(error, EISDIR, "%s: is a directory%s", path,
                         names->guarded ? "" : "; add --all to take all variants in it");
    return add_path(names, SOURCE_DIRECTORY, strdup(path), path) < 0
               ? error_set(error, ENOMEM, "out of memory")
               : 0;
}

/* Whether a file that can be read again is an archive. */
static bool is_archive(const struct source_names *names, int fd, const struct stat *status)
{
    char beginning[SOURCES_BEGINNING_BYTES];
    if (!S_ISREG(status->st_mode))
        return false;
    ssize_t length = pread(fd, beginning, sizeof(beginning), 0);
    return length > 0 && names->archives->is_meant(beginning, (size_t)length);
}

static int read_file(struct source_names *names, const char *path, struct pkgcache_error *error)
{
    CLEANUP_CONTEXT struct context context = {0};
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    struct stat status;
    CLEANUP_CLOSE int fd =
        names->guarded ? file_open(AT_FDCWD, path, O_RDONLY) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return add_directory(names, path, error);
    if (names->guarded && !S_ISREG(status.st_mode))
        return error_set(error, EBADMSG, "%s: not a regular file", path);
    if (names->archives && is_archive(names, fd, &status))
        return names->archives->read(names->archives->context, names, path, fd, NULL, error);
    int result =
        file_read(fd, names->guarded ? SOURCES_GUARDED_BYTES : SOURCE_BYTES_MAX, &text, &why);
    if (result == 0) {
        const char *bytes = text.bytes ? text.bytes : "";
        size_t space = strspn(bytes, " \t\r\n");
        if (space == text.length || bytes[space] != '{')
            space = 0; /* it matters in YAML */
        result = context_parse(bytes + space, text.length - space, &context, &why);
    }
    if (result < 0)
        return error_set(error, -result, "%s: neither a manifest nor a context: %.900s", path,
                         why.message);
    return read_document(names, &context, path, path, error);
}

/* A handle, an entry of a manifest, or a whole manifest. */
static int read_json(struct source_names *names, const char *line, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = json_parse(line, strlen(line), &document, &why);
    if (result < 0)
        return error_set(error, -result, "\"%.40s\": %.900s", line, why.message);
    const struct json *variants = json_member(document->root, "variants");
    if (variants)
        return read_manifest(names, variants, "standard input", error);
    if (json_member(document->root, "handle"))
        result = add_entry(names, document->root, shorten(line));
    else
        result = source_names_add_handle(names, document->root, NULL, shorten(line));
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int read_one(struct source_names *names, const char *source, struct pkgcache_error *error)
{
    if (*source == '{')
        return read_json(names, source, error);
    if (!uri_is_meant(source))
        return read_file(names, source, error);
    return add_relative_uri(names, source) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

static int read_lines(struct source_names *names, char *text, struct pkgcache_error *error)
{
    struct pkgcache_error why;
    int result = 0;
    for (char *line; result == 0 && (line = strsep(&text, "\n"));) {
        line += strspn(line, " \t\r");
        size_t length = strlen(line);
        while (length > 0 && isspace((unsigned char)line[length - 1]))
            line[--length] = '\0';
        if (length > 0)
            result = read_one(names, line, &why);
    }
    return result < 0 ? error_set(error, -result, "standard input: %.900s", why.message) : 0;
}

/* Reads what tells whether standard input is an archive. */
static int read_beginning(struct text *text, struct pkgcache_error *error)
{
    char bytes[SOURCES_BEGINNING_BYTES];
    while (text->length < sizeof(bytes)) {
        ssize_t length = read(STDIN_FILENO, bytes, sizeof(bytes) - text->length);
        if (length < 0 && errno != EINTR)
            return error_set(error, errno, "%s", strerror(errno));
        if (length == 0)
            break;
        if (length > 0)
            text_append(text, bytes, (size_t)length);
    }
    return text->error ? error_set(error, ENOMEM, "out of memory") : 0;
}

static int read_standard_input(struct source_names *names, struct pkgcache_error *error)
{
    CLEANUP_CONTEXT struct context context = {0};
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    const struct source_archives *archives = names->archives;
    int result = archives ? read_beginning(&text, &why) : 0;
    if (result == 0 && archives && archives->is_meant(text.bytes, text.length))
        return archives->read(archives->context, names, NULL, STDIN_FILENO, &text, error);
    if (result == 0)
        result = file_read(STDIN_FILENO, SOURCE_BYTES_MAX, &text, &why);
    if (result < 0)
        return error_set(error, -result, "standard input: %.900s", why.message);
    if (!text.bytes || text.length == 0)
        return error_set(error, EINVAL, "standard input: it is empty");
    if (memchr(text.bytes, '\0', text.length))
        return error_set(error, EINVAL, "standard input: it contains a NUL byte");
    if (*text.bytes == '{' && context_parse(text.bytes, text.length, &context, NULL) == 0 &&
        (json_member(context.root, "variants") || json_member(context.root, "resolved_packages")))
        return read_document(names, &context, NULL, "standard input", error);
    return read_lines(names, text.bytes, error);
}

int source_names_read(struct source_names *names, const char *source,
                      struct pkgcache_error *ret_error)
{
    if (strcmp(source, "-") != 0)
        return read_one(names, source, ret_error);
    if (names->input_is_read)
        return error_set(ret_error, EINVAL, "-: standard input is named twice; it is read once");
    names->input_is_read = true;
    return read_standard_input(names, ret_error);
}
