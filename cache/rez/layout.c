/*
 * From URIs to handles in three rounds: what their texts say; the definitions of those directories
 * that may be of packages without versions; and where the repositories are, links followed.
 */
#include "cache/rez/layout.h"

#include "cache/rez/uri.h"
#include "cache/util/error.h"
#include "cache/util/spread.h"

#include <string.h>

/* Queries, and what their texts say. */
struct finding {
    struct layout_query *queries;
    struct uri *uris;
    const struct definitions *definitions;
};

char *layout_directory(const struct pkgcache_handle *handle)
{
    char *path;
    const char *location = strcmp(handle->location, "/") == 0 ? "" : handle->location;
    int length = asprintf(&path, "%s/%s%s%s", location, handle->name, handle->version ? "/" : "",
                          handle->version ? handle->version : "");
    return length < 0 ? NULL : path;
}

char *layout_default_root(const struct pkgcache_handle *handle)
{
    return handle->index == HANDLE_NO_INDEX ? layout_directory(handle) : NULL;
}

/* Cuts the last name off a path: "/a/b" becomes "/a" and "b". */
static const char *cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    return slash + 1;
}

/* Whether only its definition tells what the directory of a package is called after. */
static bool is_ambiguous(const char *directory)
{
    const char *slash = strrchr(directory, '/');
    return slash != directory && (slash[1] < '0' || slash[1] > '9');
}

/* The same as layout_is_unversioned, of a definition that was read, if it matters. */
static bool is_unversioned(const struct definitions *definitions, const char *directory)
{
    CLEANUP_FREE char *parent = strdup(directory);
    const struct definition *definition = NULL;
    if (!parent || strcmp(parent, "/") == 0)
        return false;
    if (strrchr(directory, '/') == directory)
        return true; /* right below "/": no room for a name and a version */
    if (!is_ambiguous(directory) ||
        definitions_find(definitions, directory, &definition, NULL) < 0 || !definition->name)
        return false;
    const char *name = cut_name(parent);
    return strcmp(definition->name, name) == 0 && strcmp(definition->name, cut_name(parent)) != 0;
}

bool layout_is_unversioned(struct definitions *definitions, const char *directory)
{
    if (is_ambiguous(directory) && definitions_read(definitions, &directory, 1) < 0)
        return false;
    return is_unversioned(definitions, directory);
}

static void parse_uri(const struct finding *finding, size_t i)
{
    struct layout_query *query = &finding->queries[i];
    query->handle = NULL;
    query->result = uri_parse(query->uri, &finding->uris[i], &query->error);
    if (query->result == 0 && strcmp(finding->uris[i].directory, "/") == 0)
        query->result =
            error_set(&query->error, EINVAL, "%s is not the URI of a variant: it names no package",
                      query->uri);
}

static int read_ambiguous(const struct finding *finding, size_t count,
                          struct definitions *definitions)
{
    CLEANUP_FREE const char **directories = calloc(count + 1, sizeof(*directories));
    if (!directories)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (finding->queries[i].result == 0 && is_ambiguous(finding->uris[i].directory))
            directories[i] = finding->uris[i].directory;
    return definitions_read(definitions, directories, count);
}

/* For spread(). */
static void make_handle(void *context, size_t i)
{
    const struct finding *finding = context;
    struct layout_query *query = &finding->queries[i];
    struct uri *uri = &finding->uris[i];
    const char *version = NULL;
    if (query->result < 0)
        return;
    if (!is_unversioned(finding->definitions, uri->directory))
        version = cut_name(uri->directory);
    const char *name = cut_name(uri->directory);
    const char *location = *uri->directory ? uri->directory : "/";
    CLEANUP_FREE char *canonical = realpath(location, NULL); /* offline: as it is spelled */
    query->result = handle_create(canonical ? canonical : location, name, version, uri->index,
                                  &query->handle, &query->error);
}

int layout_find_handles(struct definitions *definitions, struct layout_query *queries, size_t count)
{
    CLEANUP_FREE struct uri *uris = calloc(count + 1, sizeof(*uris));
    if (!uris)
        return -ENOMEM;
    struct finding finding = {queries, uris, definitions};
    for (size_t i = 0; i < count; i++)
        parse_uri(&finding, i);
    int result = read_ambiguous(&finding, count, definitions);
    if (result == 0)
        spread(count, make_handle, &finding);
    for (size_t i = 0; i < count; i++) {
        if (queries[i].result == -ENOMEM)
            result = -ENOMEM;
        uri_free(&uris[i]);
    }
    return result;
}
