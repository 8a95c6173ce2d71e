/* From what people write to handles: what list prints, and names on standard input. */
#include "cli/variant_names.h"

#include "cache/json/json_build.h"
#include "cache/rez/uri.h"
#include "cache/store/list.h"
#include "cache/store/sidecar.h"
#include "cache/store/tree.h"
#include "cache/util/file.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/variant_uri.h"

#include <ctype.h>
#include <string.h>

enum {
    INPUT_BYTES_MAX = 256 << 20,
    NAMED_MAX = 5, /* of those that are called so */
};

/* --- texts --- */

static int add_text(struct variant_names *names, const char *text, size_t length)
{
    char **texts = reallocarray(names->texts, names->count + 1, sizeof(*texts));
    char *copy = strndup(text, length);
    if (texts)
        names->texts = texts;
    if (!texts || !copy) {
        free(copy);
        return -ENOMEM;
    }
    names->texts[names->count++] = copy;
    return 0;
}

/* Lines lose the spaces around them; what NULs end is taken to the letter. */
static int add_lines(struct variant_names *names, const char *bytes, size_t length)
{
    char end = memchr(bytes, '\0', length) ? '\0' : '\n';
    int result = 0;
    for (const char *at = bytes, *next; at < bytes + length && result == 0; at = next + 1) {
        next = memchr(at, end, (size_t)(bytes + length - at));
        if (!next)
            next = bytes + length;
        const char *last = next;
        while (end == '\n' && at < last && isspace((unsigned char)*at))
            at++;
        while (end == '\n' && last > at && isspace((unsigned char)last[-1]))
            last--;
        if (last > at)
            result = add_text(names, at, (size_t)(last - at));
    }
    return result;
}

static int read_standard_input(const struct options *options, struct variant_names *names)
{
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error error;
    if (file_read(STDIN_FILENO, INPUT_BYTES_MAX, &text, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "standard input: %s", error.message);
    if (text.length > 0 && add_lines(names, text.bytes, text.length) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    return -1;
}

int variant_names_read(const struct options *options, struct variant_names *ret)
{
    int code = -1;
    bool read = false;
    *ret = (struct variant_names){0};
    for (int i = 0; i < options->argument_count && code < 0; i++) {
        const char *text = options->arguments[i];
        if (strcmp(text, "-") != 0) {
            if (add_text(ret, text, strlen(text)) < 0)
                code = output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
        } else if (!read) {
            read = true;
            code = read_standard_input(options, ret);
        }
    }
    if (code < 0 && read && ret->count == 0)
        code = output_error(options, EXIT_USAGE, EINVAL, "standard input: it names no VARIANT");
    return code;
}

void variant_names_free(struct variant_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->texts[i]);
    free(names->texts);
    *names = (struct variant_names){0};
}

/* --- names --- */

bool variant_name_is_meant(const char *text)
{
    return *text && *text != '{' && *text != '.' && (*text == '/' || !strchr(text, '/')) &&
           !uri_is_meant(text);
}

bool variant_name_is_likely(const char *text)
{
    size_t length =
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+!");
    if (length == 0 || !isalnum((unsigned char)*text))
        return false;
    if (text[length] != '[')
        return text[length] == '\0';
    length += 1 + strspn(text + length + 1, "0123456789");
    return strcmp(text + length, "]") == 0;
}

/* Those that are called so. */
struct search {
    bool any_index;
    int32_t index;
    size_t count;
    struct text handle; /* of the first, JSON */
    struct text uris;   /* of the first ones */
    struct rules rules; /* those that rez has built in: these URIs are for people */
};

static int on_entry(void *context, const struct pkgcache_entry *entry)
{
    struct search *search = context;
    if (!search->any_index && entry->handle->index != search->index)
        return 0;
    if (search->count == 0)
        handle_to_json(&search->handle, entry->handle);
    CLEANUP_FREE char *uri = variant_uri(&search->rules, NULL, entry->handle);
    if (search->count < NAMED_MAX)
        text_printf(&search->uris, "%s%s", search->count > 0 ? ", " : "", uri ? uri : "?");
    search->count++;
    return search->handle.error ? -ENOMEM : 0;
}

/* Takes "[2]", or "[]" for a package without variants, off a name. */
static void take_index(char *name, struct search *search)
{
    char *bracket = strrchr(name, '[');
    size_t length = strlen(name);
    char *end;
    search->any_index = true;
    if (!bracket || name[length - 1] != ']')
        return;
    errno = 0;
    long index = strtol(bracket + 1, &end, 10);
    if (strcmp(bracket, "[]") == 0)
        index = HANDLE_NO_INDEX;
    else if (!isdigit((unsigned char)bracket[1]) || end != name + length - 1 || errno ||
             index > INT32_MAX)
        return;
    *bracket = '\0';
    search->any_index = false;
    search->index = (int32_t)index;
}

/* The handle of what lies at a path in the cache, which list prints as cache_path. */
static int resolve_path(struct pkgcache *cache, const char *path, char **ret_handle)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    CLEANUP_FREE char *file = NULL;
    struct text handle = {0};
    size_t length = strlen(cache->path);
    if (strncmp(path, cache->path, length) != 0 || path[length] != '/')
        return 0;
    if (asprintf(&file, "%s.json", path + length + 1) < 0)
        return -ENOMEM;
    char *name = strrchr(file, '/');
    if (!name)
        return 0;
    *name++ = '\0';
    CLEANUP_CLOSE int hash_fd = tree_open(cache, file);
    if (hash_fd < 0 || sidecar_read(hash_fd, name, &sidecar, NULL) < 0 ||
        strcmp(sidecar.handle->relative_path, file) != 0)
        return 0;
    handle_to_json(&handle, sidecar.handle);
    return text_steal(&handle, ret_handle, NULL);
}

int variant_name_resolve(const struct options *options, struct pkgcache *cache, const char *text,
                         char **ret_handle)
{
    struct search search = {0};
    CLEANUP_FREE char *name = strdup(text);
    int code = -1;
    *ret_handle = NULL;
    if (!name || (*text == '/' && resolve_path(cache, text, ret_handle) < 0))
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (*text == '/')
        return -1;
    take_index(name, &search);
    int result = list_package(cache, name, on_entry, &search);
    if (result < 0)
        code = output_error(options, EXIT_FAILED, -result, "%s: %s", text, strerror(-result));
    else if (search.count > 1)
        code = output_error(
            options, EXIT_USAGE, EINVAL,
            "%s: %zu cached variants are called so: %s%s; name one of them, or %s[INDEX]", text,
            search.count, search.uris.bytes, search.count > NAMED_MAX ? ", ..." : "", name);
    else if (search.count == 1 && text_steal(&search.handle, ret_handle, NULL) < 0)
        code = output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    text_free(&search.handle);
    text_free(&search.uris);
    return code;
}
