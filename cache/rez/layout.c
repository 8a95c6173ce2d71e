/* From URIs to handles: what their texts say, then where the repositories are, links followed. */
#include "cache/rez/layout.h"

#include "cache/rez/definition.h"
#include "cache/rez/uri.h"
#include "cache/util/error.h"
#include "cache/util/spread.h"

#include <string.h>

/* Queries, and what their texts say. */
struct finding {
    struct layout_query *queries;
    struct uri *uris;
    const struct rules *rules;
    bool hides;
};

/* How a directory is taken: what the repository is, and the names below it. */
struct reading {
    char *location; /* links followed, where there is something */
    char *name;
    char *version; /* NULL: none */
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

static void reading_free(struct reading *reading)
{
    free(reading->location);
    free(reading->name);
    free(reading->version);
    *reading = (struct reading){0};
}

#define CLEANUP_READING __attribute__((cleanup(reading_free)))

/* Takes a directory for that of a package with a version, or without. Returns 0, -EINVAL: there are
 * too few names in it, or -ENOMEM. */
static int read_directory(const char *directory, bool versioned, struct reading *ret)
{
    CLEANUP_FREE char *path = strdup(directory);
    if (!path)
        return -ENOMEM;
    if (versioned && strrchr(directory, '/') == directory)
        return -EINVAL; /* right below "/" */
    ret->version = versioned ? strdup(cut_name(path)) : NULL;
    ret->name = strdup(cut_name(path));
    const char *location = *path ? path : "/";
    ret->location = realpath(location, NULL);
    if (!ret->location)
        ret->location = strdup(location); /* offline: as it is spelled */
    bool whole = ret->name && ret->location && (ret->version || !versioned);
    return whole ? 0 : -ENOMEM;
}

/* Where no repository is known: whether a directory is called after a package without versions. */
static bool looks_unversioned(const struct rules *rules, const char *directory)
{
    const char *base = strrchr(directory, '/') + 1;
    CLEANUP_FREE char *parent = strndup(directory, (size_t)(base - 1 - directory));
    if (!parent || !*parent)
        return true; /* right below "/": no room for a name and a version */
    if (*base >= '0' && *base <= '9')
        return false;
    struct definition *definition = definition_peek(rules, directory);
    bool is = definition && definition->name && strcmp(definition->name, base) == 0 &&
              strcmp(definition->name, strrchr(parent, '/') + 1) != 0;
    definition_free(definition);
    return is;
}

/* Whether rez sees a package; the reason why it does not. */
static bool is_seen(const struct finding *finding, const struct reading *reading,
                    const char **ret_why)
{
    CLEANUP_FREE char *family = NULL;
    if (!finding->hides || asprintf(&family, "%s/%s", reading->location, reading->name) < 0)
        return true;
    const char *why = rules_hide(finding->rules, family, reading->version);
    if (why)
        *ret_why = why;
    return !why;
}

/* Which reading a repository of packages_path gives; -1: none. *ret_why: why rez sees none there.
 */
static int choose_known(const struct finding *finding, const struct reading readings[2],
                        const int results[2], const char **ret_why)
{
    for (size_t i = 0; i < finding->rules->repository_count; i++)
        for (int way = 0; way < 2; way++) {
            if (results[way] < 0 ||
                strcmp(readings[way].location, finding->rules->repositories[i]) != 0)
                continue;
            if (!rules_is_package_name(readings[way].name))
                *ret_why = "rez looks at no package of that name";
            else if (is_seen(finding, &readings[way], ret_why))
                return way;
        }
    return -1;
}

/*
 * Finds the repository that a directory is in. rez asks those of packages_path in their order, and
 * takes the first that has such a package. Returns 0; -ESRCH: rez sees none (*ret_why); -ENOMEM.
 */
static int find_reading(const struct finding *finding, const char *directory, struct reading *ret,
                        const char **ret_why)
{
    struct reading readings[2] = {{0}};
    int results[2];
    *ret_why = NULL;
    for (int way = 0; way < 2; way++)
        results[way] = read_directory(directory, way == 0, &readings[way]);
    int chosen = choose_known(finding, readings, results, ret_why);
    if (chosen < 0 && !*ret_why) {
        chosen = looks_unversioned(finding->rules, directory);
        if (results[chosen] == 0 && !is_seen(finding, &readings[chosen], ret_why))
            chosen = -1;
    }
    int result = chosen < 0 ? -ESRCH : results[chosen];
    if (result == 0) {
        *ret = readings[chosen];
        readings[chosen] = (struct reading){0};
    }
    for (int way = 0; way < 2; way++)
        reading_free(&readings[way]);
    return result;
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

/* For spread(). */
static void make_handle(void *context, size_t i)
{
    const struct finding *finding = context;
    struct layout_query *query = &finding->queries[i];
    const struct uri *uri = &finding->uris[i];
    CLEANUP_READING struct reading reading = {0};
    const char *why;
    if (query->result < 0)
        return;
    query->result = find_reading(finding, uri->directory, &reading, &why);
    if (query->result == 0)
        query->result = handle_create(reading.location, reading.name, reading.version, uri->index,
                                      &query->handle, &query->error);
    else if (query->result == -ESRCH)
        error_set(&query->error, ESRCH, "%s: %s", uri->directory, why);
    else
        error_set(&query->error, -query->result, "out of memory");
    if (query->result == -EINVAL) { /* it is a URI, but rez has no such package */
        query->result = -ESRCH;
        query->error.code = ESRCH;
    }
}

int layout_find_handles(const struct rules *rules, bool hides, struct layout_query *queries,
                        size_t count)
{
    CLEANUP_FREE struct uri *uris = calloc(count + 1, sizeof(*uris));
    if (!uris)
        return -ENOMEM;
    struct finding finding = {queries, uris, rules, hides};
    int result = 0;
    for (size_t i = 0; i < count; i++)
        parse_uri(&finding, i);
    spread(count, make_handle, &finding);
    for (size_t i = 0; i < count; i++) {
        if (queries[i].result == -ENOMEM)
            result = -ENOMEM;
        uri_free(&uris[i]);
    }
    return result;
}

int layout_read_otherwise(const char *uri, const struct pkgcache_handle *handle,
                          struct pkgcache_handle **ret)
{
    CLEANUP_URI struct uri parsed = {0};
    CLEANUP_READING struct reading reading = {0};
    struct pkgcache_error error;
    int result = uri_parse(uri, &parsed, &error);
    if (result == 0 && strcmp(parsed.directory, "/") == 0)
        result = -EINVAL;
    if (result == 0)
        result = read_directory(parsed.directory, !handle->version, &reading);
    if (result == 0)
        result = handle_create(reading.location, reading.name, reading.version, parsed.index, ret,
                               &error);
    return result == 0 || result == -ENOMEM ? result : -EINVAL;
}
