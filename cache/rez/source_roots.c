/* Asks the repositories, and takes their answers. */
#include "cache/rez/source_roots.h"

#include "cache/util/error.h"

#include <string.h>

/* A package of which nothing is known but where it would be. */
static int take_default_root(struct source_variant *variant, const struct pkgcache_error *why)
{
    char reason[sizeof(why->message) + 64];
    if (!variant->has_definition && variant->handle->index == HANDLE_NO_INDEX) {
        variant->root = layout_default_root(variant->handle);
        return variant->root ? 0 : -ENOMEM;
    }
    snprintf(reason, sizeof(reason), "%s%s", why->message,
             variant->has_definition ? "" : "; give its root with \"root\" or --root");
    source_variant_give_reason(variant, ENOENT, reason);
    return variant->reason ? 0 : -ENOMEM;
}

static int take_answer(struct source_variant *variant, struct repository_query *query, bool force)
{
    struct repository_variant *found = &query->variant;
    if (query->result == -ENOENT)
        return take_default_root(variant, &query->error);
    if (query->result < 0) {
        source_variant_give_reason(variant, -query->result, query->error.message);
        return variant->reason ? 0 : -ENOMEM;
    }
    variant->root = STEAL(found->root);
    variant->uri = STEAL(found->uri);
    variant->is_local = found->local;
    if (!variant->requires_json)
        variant->requires_json = STEAL(found->requires_json);
    if (found->cachable || force)
        return 0;
    return source_variant_refuse(variant, found->said_by);
}

int source_roots_find(struct source_variants *variants, const struct source_places *places,
                      struct repositories *repositories, bool force,
                      struct pkgcache_error *ret_error)
{
    CLEANUP_FREE struct repository_query *queries = calloc(places->count + 1, sizeof(*queries));
    if (!queries)
        return error_set(ret_error, ENOMEM, "out of memory");
    if (places->count == 0)
        return 0;
    for (size_t i = 0; i < places->count; i++)
        queries[i] = (struct repository_query){
            .handle = variants->items[places->places[i]].handle,
            .context = variants->items[places->places[i]].context,
        };
    int result = repositories_find_roots(repositories, queries, places->count, ret_error);
    for (size_t i = 0; i < places->count; i++) {
        if (result == 0)
            result = take_answer(&variants->items[places->places[i]], &queries[i], force);
        repository_variant_free(&queries[i].variant);
    }
    return result == -ENOMEM ? error_set(ret_error, ENOMEM, "out of memory") : result;
}
