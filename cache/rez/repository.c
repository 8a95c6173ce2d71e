/*
 * Finds the roots of variants. What waits for the repository's storage is done in parallel, in two
 * rounds: definitions, then the places of variants. The settings are applied last, on one thread.
 */
#include "cache/rez/repository.h"

#include "cache/rez/cachable.h"
#include "cache/rez/repository_parts.h"
#include "cache/rez/requirement.h"
#include "cache/rez/uri.h"
#include "cache/util/names.h"
#include "cache/util/spread.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define SHORT_LINKS "_v" /* rez's variant_shortlinks_dirname */

/* Queries with what is known of each. */
struct asking {
    struct repository_query *queries;
    const struct definitions *definitions;
};

int repositories_new(struct rezconfig *config, struct repositories **ret)
{
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    (*ret)->config = config;
    (*ret)->definitions.rules = &(*ret)->rules;
    return 0;
}

void repositories_free(struct repositories *repositories)
{
    if (!repositories)
        return;
    definitions_free(&repositories->definitions);
    rules_free(&repositories->rules);
    free(repositories);
}

int repositories_read_rules(struct repositories *repositories, struct pkgcache_error *ret_error)
{
    if (repositories->has_rules || !repositories->config)
        return 0;
    int result = rules_read(repositories->config, &repositories->rules, ret_error);
    if (result < 0)
        rules_free(&repositories->rules);
    repositories->has_rules = result == 0;
    return result;
}

void repository_variant_free(struct repository_variant *variant)
{
    free(variant->root);
    free(variant->uri);
    free(variant->requires_json);
    *variant = (struct repository_variant){0};
}

static char *join(const char *directory, const char *name)
{
    char *path;
    const char *slash = strcmp(directory, "/") == 0 ? "" : "/";
    return asprintf(&path, "%s%s%s", directory, slash, name) < 0 ? NULL : path;
}

int repositories_find_handles(struct repositories *repositories, struct layout_query *queries,
                              size_t count, struct pkgcache_error *ret_error)
{
    int result = repositories_read_rules(repositories, ret_error);
    if (result == 0 &&
        layout_find_handles(&repositories->rules, repositories->has_rules, queries, count) < 0)
        result = error_set(ret_error, ENOMEM, "out of memory");
    return result;
}

/* --- round 1: definitions --- */

static int read_definitions(struct definitions *definitions, const struct repository_query *queries,
                            size_t count)
{
    CLEANUP_FREE struct definition_place *places = calloc(count + 1, sizeof(*places));
    size_t made = 0;
    int result = places ? 0 : -ENOMEM;
    for (; made < count && result == 0; made++) {
        const struct pkgcache_handle *handle = queries[made].handle;
        places[made] = (struct definition_place){layout_directory(handle), !handle->version,
                                                 queries[made].context};
        result = places[made].directory ? 0 : -ENOMEM;
    }
    if (result == 0)
        result = definitions_read(definitions, places, count);
    for (size_t i = 0; i < made; i++)
        free((char *)places[i].directory);
    return result;
}

/* --- round 2: where the variants are --- */

/* Why there is no definition, if it is that of a combined package. Returns 0, -ENOTSUP or -ENOMEM.
 */
static int explain_absence(const struct pkgcache_handle *handle, struct pkgcache_error *error)
{
    static const char *const endings[] = {"py", "yaml"};
    for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
        CLEANUP_FREE char *file = NULL;
        if (asprintf(&file, "%s/%s.%s", handle->location, handle->name, endings[i]) < 0)
            return error_set(error, ENOMEM, "out of memory");
        if (access(file, F_OK) == 0)
            return error_set(
                error, ENOTSUP,
                "%s: a combined package has no payload of its own, so there is nothing to cache",
                file);
    }
    return 0;
}

static int find_requires(const struct pkgcache_handle *handle, const struct definition *definition,
                         const struct json **ret, struct pkgcache_error *error)
{
    int32_t count = 0;
    *ret = NULL;
    for (const struct json *one = definition->variants ? definition->variants->first : NULL; one;
         one = one->next)
        if (count++ == handle->index)
            *ret = one;
    if (*ret || (count == 0 && handle->index == HANDLE_NO_INDEX))
        return 0;
    if (count == 0)
        return error_set(error, ESRCH, "%s has no variants: end its URI with [], without an index",
                         definition->path);
    if (handle->index == HANDLE_NO_INDEX)
        return error_set(error, ESRCH, "%s has variants: end its URI with one of [0] to [%d]",
                         definition->path, count - 1);
    return error_set(error, ESRCH, "%s has no variant [%d]: the last one is [%d]", definition->path,
                     handle->index, count - 1);
}

/* Uses a link beside the variants that leads to the variant, as rez does. */
static void prefer_short_link(const char *base, const char *name, struct text *subpath)
{
    char target[PATH_MAX];
    struct names names;
    CLEANUP_FREE char *links = join(base, SHORT_LINKS);
    CLEANUP_FREE char *absolute = join(base, name);
    CLEANUP_CLOSE int fd = links ? open(links, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 || !absolute)
        return;
    names_borrow(&names, fd);
    for (const char *link; (link = names_next(&names));) {
        ssize_t length = readlinkat(fd, link, target, sizeof(target) - 1);
        target[MAX(length, 0)] = '\0';
        bool leads_there = strncmp(target, "../", 3) == 0 ? strcmp(target + 3, name) == 0
                                                          : strcmp(target, absolute) == 0;
        if (!leads_there)
            continue;
        text_free(subpath);
        text_printf(subpath, SHORT_LINKS "/%s", link);
        break;
    }
    names_close(&names);
}

static int find_root(const struct pkgcache_handle *handle, const struct definition *definition,
                     const struct json *requires, struct repository_variant *variant,
                     struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text subpath = {0};
    CLEANUP_FREE char *base = layout_directory(handle);
    if (!base)
        return error_set(error, ENOMEM, "out of memory");
    if (requires) {
        struct pkgcache_error why;
        int result = requirement_subpath(&subpath, requires, definition->hashed_variants, &why);
        if (result < 0)
            return error_set(error, -result, "%s: variant [%d]: %.800s", definition->path,
                             handle->index, why.message);
        if (definition->hashed_variants) {
            CLEANUP_FREE char *name = strdup(subpath.bytes);
            if (name)
                prefer_short_link(base, name, &subpath);
        }
    }
    variant->root = requires && !subpath.error ? join(base, subpath.bytes) : STEAL(base);
    return variant->root && !subpath.error ? 0 : error_set(error, ENOMEM, "out of memory");
}

static int describe(const struct pkgcache_handle *handle, const struct definition *definition,
                    const struct json *requires, struct repository_variant *variant,
                    struct pkgcache_error *error)
{
    struct text uri = {0};
    struct text json = {0};
    uri_append(&uri, handle, strrchr(definition->path, '/') + 1);
    int result = text_steal(&uri, &variant->uri, NULL);
    if (result == 0 && requires) {
        json_write(&json, requires);
        result = text_steal(&json, &variant->requires_json, NULL);
    }
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int find_variant(const struct asking *asking, const struct pkgcache_handle *handle,
                        struct repository_variant *variant, struct pkgcache_error *error)
{
    const struct definition *definition = NULL;
    const struct json *requires = NULL;
    CLEANUP_FREE char *directory = layout_directory(handle);
    if (!directory)
        return error_set(error, ENOMEM, "out of memory");
    int result = definitions_find(asking->definitions, directory, &definition, error);
    if (result == -ENOENT && explain_absence(handle, error) < 0)
        return -error->code;
    if (result == 0)
        result = find_requires(handle, definition, &requires, error);
    if (result == 0)
        result = find_root(handle, definition, requires, variant, error);
    if (result == 0)
        result = describe(handle, definition, requires, variant, error);
    return result;
}

static void answer(void *context, size_t i)
{
    const struct asking *asking = context;
    struct repository_query *query = &asking->queries[i];
    query->variant = (struct repository_variant){.handle = query->handle};
    query->result = find_variant(asking, query->handle, &query->variant, &query->error);
}

/* --- and what settings say --- */

static int is_local(struct rezconfig *config, const struct definition *definition,
                    struct repository_variant *variant, struct pkgcache_error *error)
{
    const struct json *value = NULL;
    int result = rezconfig_get_for_package(config, REZCONFIG_LOCAL_PACKAGES_PATH,
                                           definition->config, &value, error);
    if (result < 0 || !value || value->type != JSON_STRING)
        return result;
    CLEANUP_FREE char *path = rezconfig_path(value);
    CLEANUP_FREE char *canonical = path ? realpath(path, NULL) : NULL;
    if (path)
        variant->local = strcmp(canonical ? canonical : path, variant->handle->location) == 0;
    return 0;
}

static int judge(struct rezconfig *config, const struct definitions *definitions,
                 struct repository_variant *variant, struct pkgcache_error *error)
{
    const struct definition *definition = NULL;
    CLEANUP_FREE char *directory = layout_directory(variant->handle);
    if (!directory)
        return error_set(error, ENOMEM, "out of memory");
    int result = definitions_find(definitions, directory, &definition, error);
    if (result == 0)
        result = cachable_find(config, variant->handle, definition, &variant->cachable,
                               &variant->said_by, error);
    if (result == 0)
        result = is_local(config, definition, variant, error);
    return result;
}

int repository_answer_queries(struct rezconfig *config, const struct definitions *definitions,
                              struct repository_query *queries, size_t count)
{
    struct asking asking = {queries, definitions};
    int result = 0;
    spread(count, answer, &asking);
    for (size_t i = 0; i < count; i++) {
        struct repository_query *query = &queries[i];
        if (query->result == 0)
            query->result = judge(config, definitions, &query->variant, &query->error);
        if (query->result < 0)
            repository_variant_free(&query->variant);
        if (query->result == -ENOMEM)
            result = -ENOMEM;
    }
    return result;
}

int repositories_find_roots(struct repositories *repositories, struct repository_query *queries,
                            size_t count, struct pkgcache_error *ret_error)
{
    int result = repositories_read_rules(repositories, ret_error);
    if (result < 0)
        return result;
    result = read_definitions(&repositories->definitions, queries, count);
    if (result == 0)
        result = repository_answer_queries(repositories->config, &repositories->definitions,
                                           queries, count);
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}
