/* From names to handles: of JSON at once, of URIs side by side, of directories one by one. */
#include "cache/rez/source_handles.h"

#include "cache/util/error.h"

#include <string.h>

/* --- names of each kind --- */

/* The handle as it was named, for whoever asks what became of it. */
static int keep_json(struct source_variant *variant, const struct json *handle)
{
    struct text text = {0};
    json_write(&text, handle);
    return text_steal(&text, &variant->handle_json, NULL);
}

/* A variant of a context that has no payload to be cached, as those of combined packages. */
static int take_foreign(struct source_variant *variant, const struct json *handle)
{
    CLEANUP_TEXT struct text name = {0};
    char kind[JSON_QUOTE_SIZE];
    char reason[2 * JSON_QUOTE_SIZE];
    handle_json_is_foreign(handle, &name);
    free(variant->text);
    variant->text = NULL;
    text_steal(&name, &variant->text, NULL);
    snprintf(reason, sizeof(reason), "a variant of the kind %s has no payload of its own to cache",
             json_quote(json_member(handle, "key"), kind));
    source_variant_give_reason(variant, ENOTSUP, reason);
    variant->is_refused = true;
    return variant->text && variant->reason ? keep_json(variant, handle) : -ENOMEM;
}

static int take_handle(struct source_variant *variant, const struct source_name *name)
{
    struct pkgcache_error why;
    if (!name->handle) {
        source_variant_give_reason(variant, EINVAL,
                                   name->reason ? name->reason : "\"handle\" is missing");
        return 0;
    }
    int result = handle_from_json(name->handle, &variant->handle, &why);
    if (result == -EINVAL && name->of_context && handle_json_is_foreign(name->handle, NULL))
        return take_foreign(variant, name->handle);
    if (result < 0) {
        source_variant_give_reason(variant, -result, why.message);
        return keep_json(variant, name->handle);
    }
    free(variant->text);
    variant->text = strdup(variant->handle->qualified_name);
    return variant->text ? 0 : -ENOMEM;
}

/* Adds a variant of a handle or a URI. `query` is the URI's; NULL: a handle. */
static int take_name(struct source_variants *variants, struct source_name *name,
                     struct layout_query *query)
{
    struct source_variant *variant = source_variants_add(variants);
    if (!variant)
        return -ENOMEM;
    int result = 0;
    variant->text = STEAL(name->text);
    variant->root = STEAL(name->root);
    variant->requires_json = STEAL(name->requires_json);
    variant->context = STEAL(name->context);
    variant->supply = STEAL(name->supply);
    variant->has_definition = name->has_definition;
    variant->is_policy = name->of_context;
    if (!query)
        result = take_handle(variant, name);
    else if (query->result < 0)
        source_variant_give_reason(variant, -query->result, query->error.message);
    else
        variant->handle = STEAL(query->handle);
    if (name->reason)
        source_variant_give_reason(variant, EINVAL, name->reason);
    return result < 0 || variant->handle || variant->reason ? result : -ENOMEM;
}

/* --- directories --- */

struct visit {
    struct source_variants *variants;
    bool force;
    size_t seen;
};

static char *copy_string(const char *string, int *result)
{
    char *copy = string ? strdup(string) : NULL;
    if (string && !copy)
        *result = -ENOMEM;
    return copy;
}

static int add_found(struct source_variants *variants, const struct repository_variant *found)
{
    int result = source_variants_add_handle(variants, found->handle, found->uri);
    if (result < 0)
        return result;
    struct source_variant *variant = &variants->items[variants->count - 1];
    variant->is_policy = true;
    variant->root = copy_string(found->root, &result);
    variant->requires_json = copy_string(found->requires_json, &result);
    return result;
}

/* What is no variant, and why. */
static int add_failure(struct source_variants *variants, const char *path,
                       const struct pkgcache_error *error)
{
    struct source_variant *variant = source_variants_add(variants);
    if (!variant)
        return -ENOMEM;
    variant->text = strdup(path);
    source_variant_give_reason(variant, error->code, error->message);
    return variant->text && variant->reason ? 0 : -ENOMEM;
}

static int on_variant(void *context, const char *path, const struct repository_variant *found,
                      const struct pkgcache_error *error)
{
    struct visit *visit = context;
    visit->seen++;
    if (!found)
        return add_failure(visit->variants, path, error);
    bool refused = !found->cachable && !visit->force;
    if (refused && !visit->variants->keeps_refused) {
        visit->variants->passed_over++;
        return 0;
    }
    int result = add_found(visit->variants, found);
    if (result < 0 || !refused)
        return result;
    return source_variant_refuse(&visit->variants->items[visit->variants->count - 1],
                                 found->said_by);
}

static int take_directory(struct source_variants *variants, const char *path,
                          struct repositories *repositories, bool force,
                          struct pkgcache_error *error)
{
    struct visit visit = {variants, force, 0};
    int result = repositories_visit(repositories, path, on_variant, &visit, error);
    if (result == 0 && visit.seen == 0)
        return error_set(error, ENOENT, "%s: contains no packages", path);
    return result;
}

/* --- all of them --- */

/* The handles of the URIs, side by side. `queries` has a place for each name. */
static int find_handles(const struct source_names *names, struct repositories *repositories,
                        struct layout_query *queries, size_t *ret_count,
                        struct pkgcache_error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].kind == SOURCE_URI)
            queries[count++].uri = names->items[i].path;
    *ret_count = count;
    return count > 0 ? repositories_find_handles(repositories, queries, count, error) : 0;
}

int source_handles_find(struct source_names *names, struct repositories *repositories, bool force,
                        struct source_variants *variants, struct pkgcache_error *ret_error)
{
    CLEANUP_FREE struct layout_query *queries = calloc(names->count + 1, sizeof(*queries));
    size_t count = 0;
    size_t taken = 0;
    int result = queries ? find_handles(names, repositories, queries, &count, ret_error) : -ENOMEM;
    for (size_t i = 0; i < names->count && result == 0; i++) {
        struct source_name *name = &names->items[i];
        if (name->kind == SOURCE_DIRECTORY)
            result = take_directory(variants, name->path, repositories, force, ret_error);
        else if (name->kind == SOURCE_URI)
            result = take_name(variants, name, &queries[taken++]);
        else
            result = take_name(variants, name, NULL);
    }
    for (size_t i = 0; i < count; i++)
        handle_free(queries[i].handle);
    return result == -ENOMEM ? error_set(ret_error, ENOMEM, "out of memory") : result;
}
