/* Reading what names variants: contexts, manifests, directories, lines. All of it is hostile until
 * it is parsed. */
#include "cache/rez/sources_parts.h"

#include "cache/rez/context.h"
#include "cache/rez/uri.h"
#include "cache/util/file.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { SOURCE_BYTES_MAX = 256 << 20 };

static char *name_entry(const char *manifest, size_t number)
{
    char *name;
    return asprintf(&name, "%s: entry %zu", manifest, number) < 0 ? NULL : name;
}

static int read_manifest(struct sources *sources, const struct json *variants, const char *name,
                         struct pkgcache_error *error)
{
    if (variants->type != JSON_ARRAY)
        return error_set(error, EINVAL, "%s: not a manifest: \"variants\" is not a list", name);
    int result = 0;
    size_t number = 1;
    for (const struct json *entry = variants->first; entry && result == 0; entry = entry->next)
        result = sources_add_handle(sources, json_member(entry, "handle"),
                                    json_member(entry, "root"), name_entry(name, number++));
    return result < 0 ? error_set(error, -result, "%s: out of memory", name) : 0;
}

static int read_context(struct sources *sources, const struct json *packages, const char *name,
                        struct pkgcache_error *error)
{
    int result = 0;
    size_t number = 1;
    for (const struct json *one = packages->first; one && result == 0; one = one->next) {
        result = sources_add_handle(sources, one, NULL, name_entry(name, number++));
        if (result == 0)
            sources->items[sources->count - 1].has_definition = true;
    }
    return result < 0 ? error_set(error, -result, "%s: out of memory", name) : 0;
}

static int check_length(const struct sources *sources, const struct json *list, const char *name,
                        struct pkgcache_error *error)
{
    size_t length = 0;
    if (!sources->guarded)
        return 0;
    for (const struct json *entry = list->first; entry; entry = entry->next)
        length++;
    return length <= SOURCES_GUARDED_MAX
               ? 0
               : error_set(error, E2BIG, "%s: it names more than %d variants", name,
                           SOURCES_GUARDED_MAX);
}

static int read_document(struct sources *sources, const struct context *document, const char *name,
                         struct pkgcache_error *error)
{
    struct pkgcache_error why;
    const struct json *packages = NULL;
    const struct json *variants = json_member(document->root, "variants");
    int result = variants ? 0 : context_packages(document, &packages, &why);
    if (result < 0)
        return error_set(error, -result,
                         "%s: neither a manifest nor a context that can be used: %.900s", name,
                         why.message);
    result = check_length(sources, variants ? variants : packages, name, error);
    if (result < 0)
        return result;
    return variants ? read_manifest(sources, variants, name, error)
                    : read_context(sources, packages, name, error);
}

static int on_variant(void *context, const char *path, const struct repository_variant *variant,
                      const struct pkgcache_error *error)
{
    struct sources *sources = context;
    sources->visited++;
    if (!variant)
        return sources_add_failure(sources, path, error->message);
    if (!variant->cachable && !sources->force) {
        sources->passed_over++;
        return 0;
    }
    return sources_add_found(sources, variant);
}

static int read_directory(struct sources *sources, const char *path, struct pkgcache_error *error)
{
    if (!sources->all)
        return error_set(error, EISDIR, "%s: is a directory%s", path,
                         sources->guarded ? "" : "; add --all to take all variants in it");
    sources->visited = 0;
    int result = sources_open_repositories(sources, error);
    if (result == 0)
        result = repositories_visit(sources->repositories, path, on_variant, sources, error);
    if (result == 0 && sources->visited == 0)
        return error_set(error, ENOENT, "%s: contains no packages", path);
    return result;
}

static int read_file(struct sources *sources, const char *path, struct pkgcache_error *error)
{
    CLEANUP_CONTEXT struct context document = {0};
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    struct stat status;
    CLEANUP_CLOSE int fd =
        open(path, O_RDONLY | O_CLOEXEC | (sources->guarded ? O_NONBLOCK | O_NOCTTY : 0));
    if (fd < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return read_directory(sources, path, error);
    if (sources->guarded && !S_ISREG(status.st_mode))
        return error_set(error, EBADMSG, "%s: not a regular file", path);
    int result =
        file_read(fd, sources->guarded ? SOURCES_GUARDED_BYTES : SOURCE_BYTES_MAX, &text, &why);
    if (result == 0) {
        const char *bytes = text.bytes ? text.bytes : "";
        size_t space = strspn(bytes, " \t\r\n");
        if (space == text.length || bytes[space] != '{')
            space = 0; /* it matters in YAML */
        result = context_parse(bytes + space, text.length - space, &document, &why);
    }
    if (result < 0)
        return error_set(error, -result, "%s: neither a manifest nor a context: %.900s", path,
                         why.message);
    return read_document(sources, &document, path, error);
}

/* A handle, an entry of a manifest, or a whole manifest. */
static int read_json(struct sources *sources, const char *line, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = json_parse(line, strlen(line), &document, &why);
    if (result < 0)
        return error_set(error, -result, "\"%.40s\": %.900s", line, why.message);
    const struct json *variants = json_member(document->root, "variants");
    if (variants)
        return read_manifest(sources, variants, "standard input", error);
    const struct json *handle = json_member(document->root, "handle");
    result = sources_add_handle(sources, handle ? handle : document->root,
                                handle ? json_member(document->root, "root") : NULL,
                                sources_shorten(line));
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int read_one(struct sources *sources, const char *source, struct pkgcache_error *error)
{
    struct pkgcache_error why = {0};
    if (*source == '{')
        return read_json(sources, source, error);
    if (!uri_is_meant(source))
        return read_file(sources, source, error);
    int result = sources_add_uri(sources, source, &why);
    if (result == -EINVAL)
        result = sources_add_failure(sources, source, why.message);
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int read_lines(struct sources *sources, char *text, struct pkgcache_error *error)
{
    struct pkgcache_error why;
    int result = 0;
    for (char *line; result == 0 && (line = strsep(&text, "\n"));) {
        line += strspn(line, " \t\r");
        size_t length = strlen(line);
        while (length > 0 && isspace((unsigned char)line[length - 1]))
            line[--length] = '\0';
        if (length > 0)
            result = read_one(sources, line, &why);
    }
    return result < 0 ? error_set(error, -result, "standard input: %.900s", why.message) : 0;
}

static int read_standard_input(struct sources *sources, struct pkgcache_error *error)
{
    CLEANUP_CONTEXT struct context document = {0};
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    int result = file_read(STDIN_FILENO, SOURCE_BYTES_MAX, &text, &why);
    if (result < 0)
        return error_set(error, -result, "standard input: %.900s", why.message);
    if (!text.bytes || text.length == 0)
        return error_set(error, EINVAL, "standard input: it is empty");
    if (memchr(text.bytes, '\0', text.length))
        return error_set(error, EINVAL, "standard input: it contains a NUL byte");
    if (*text.bytes == '{' && context_parse(text.bytes, text.length, &document, NULL) == 0 &&
        (json_member(document.root, "variants") || json_member(document.root, "resolved_packages")))
        return read_document(sources, &document, "standard input", error);
    return read_lines(sources, text.bytes, error);
}

int sources_read(struct sources *sources, const char *source, struct pkgcache_error *ret_error)
{
    return strcmp(source, "-") == 0 ? read_standard_input(sources, ret_error)
                                    : read_one(sources, source, ret_error);
}
