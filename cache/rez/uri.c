/* URIs. Any text may be meant as one. */
#include "cache/rez/uri.h"

#include <limits.h>
#include <string.h>

static int refuse(struct pkgcache_error *error, const char *text, const char *why)
{
    char quoted[JSON_QUOTE_SIZE];
    return error_set(error, EINVAL, "%s is not the URI of a variant: %s",
                     json_quote_string(text, strlen(text), quoted), why);
}

/* Reads what is in the brackets; nothing means no index. */
static bool read_index(const char *digits, size_t length, int32_t *ret)
{
    int64_t number = 0;
    *ret = HANDLE_NO_INDEX;
    if (length == 0)
        return true;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        number = number * 10 + (digits[i] - '0');
        if (number > INT32_MAX)
            return false;
    }
    *ret = (int32_t)number;
    return true;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t end_length = strlen(end);
    return length >= end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

/* What it is called before that, rez's package_filenames say; rez looks at the directory alone. */
static bool is_definition(const char *file, size_t length)
{
    return ends_with(file, length, ".py") || ends_with(file, length, ".yaml");
}

/* `foo.yaml<1.0>`, `foo.py<>` */
static bool is_combined(const char *name, size_t length)
{
    const char *version = memchr(name, '<', length);
    size_t file_length = version ? (size_t)(version - name) : 0;
    return version && name[length - 1] == '>' && is_definition(name, file_length);
}

/* An absolute path with one slash between names, and no name ".". */
static char *copy_tidily(const char *path, size_t length)
{
    char *copy = malloc(length + 2);
    size_t used = 0;
    for (size_t i = 0; copy && i < length;) {
        const char *slash = memchr(path + i, '/', length - i);
        size_t name_length = slash ? (size_t)(slash - path) - i : length - i;
        if (name_length > 0 && !(name_length == 1 && path[i] == '.')) {
            copy[used++] = '/';
            memcpy(copy + used, path + i, name_length);
            used += name_length;
        }
        i += name_length + 1;
    }
    if (copy && used == 0)
        copy[used++] = '/';
    if (copy)
        copy[used] = '\0';
    return copy;
}

bool uri_is_meant(const char *text)
{
    size_t length = strlen(text);
    const char *bracket = strrchr(text, '[');
    size_t before = bracket ? (size_t)(bracket - text) : 0;
    return bracket && text[length - 1] == ']' &&
           (is_definition(text, before) || ends_with(text, before, ">"));
}

int uri_parse(const char *text, struct uri *ret, struct pkgcache_error *ret_error)
{
    struct uri uri = {0};
    size_t length = strlen(text);
    const char *bracket = strrchr(text, '[');
    if (length > URI_BYTES_MAX)
        return refuse(ret_error, text, "it is too long");
    if (!bracket || text[length - 1] != ']')
        return refuse(ret_error, text,
                      "it does not end in [INDEX], such as [0], or [] for a package "
                      "without variants");
    if (!read_index(bracket + 1, length - 1 - (size_t)(bracket + 1 - text), &uri.index))
        return refuse(ret_error, text, "the brackets must contain a number, or nothing");
    if (*text != '/')
        return refuse(ret_error, text, "its path is not absolute");
    const char *slash = memrchr(text, '/', (size_t)(bracket - text));
    const char *file = slash + 1;
    size_t file_length = (size_t)(bracket - file);
    if (is_combined(file, file_length))
        return error_set(
            ret_error, ENOTSUP,
            "%.900s: a combined package has no payload of its own, so there is nothing to cache",
            text);
    if (!is_definition(file, file_length))
        return refuse(ret_error, text,
                      "its file must be a definition, such as package.py or package.yaml");
    uri.directory = copy_tidily(text, (size_t)(slash - text));
    if (!uri.directory)
        return error_set(ret_error, ENOMEM, "out of memory");
    *ret = uri;
    return 0;
}

void uri_free(struct uri *uri)
{
    free(uri->directory);
    *uri = (struct uri){0};
}

void uri_append(struct text *text, const struct pkgcache_handle *handle, const char *file)
{
    const char *location = strcmp(handle->location, "/") == 0 ? "" : handle->location;
    text_printf(text, "%s/%s%s%s/%s[", location, handle->name, handle->version ? "/" : "",
                handle->version ? handle->version : "", file);
    if (handle->index != HANDLE_NO_INDEX)
        text_printf(text, "%d", handle->index);
    text_append_byte(text, ']');
}
