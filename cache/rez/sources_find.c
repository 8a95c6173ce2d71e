/* Where the payloads are that nobody named the root of. */
#include "cache/rez/sources_parts.h"

#include "cache/store/lookup.h"

#include <string.h>

int sources_open_repositories(struct sources *sources, struct pkgcache_error *error)
{
    if (!sources->repositories && repositories_new(sources->config, &sources->repositories) < 0)
        return error_set(error, ENOMEM, "out of memory");
    return 0;
}

/* A package of which nothing is known but where it would be. */
static int take_default_root(struct source_variant *item, const struct pkgcache_error *why)
{
    char reason[sizeof(why->message) + 64];
    if (!item->has_definition && item->handle->index == HANDLE_NO_INDEX) {
        item->root = sources_default_root(item->handle);
        return item->root ? 0 : -ENOMEM;
    }
    snprintf(reason, sizeof(reason), "%s%s", why->message,
             item->has_definition ? "" : "; give its root with \"root\" or --root");
    sources_give_reason(item, reason);
    return item->reason ? 0 : -ENOMEM;
}

static int take_answer(const struct sources *sources, struct source_variant *item,
                       struct repository_query *query)
{
    struct repository_variant *variant = &query->variant;
    if (query->result == -ENOENT)
        return take_default_root(item, &query->error);
    if (query->result < 0) {
        sources_give_reason(item, query->error.message);
        return item->reason ? 0 : -ENOMEM;
    }
    item->root = STEAL(variant->root);
    item->requires_json = STEAL(variant->requires_json);
    if (variant->cachable || sources->force)
        return 0;
    item->is_refused = true;
    int length = asprintf(
        &item->reason,
        "the package is not cachable: %s forbids it; pkgcache add --force caches it anyway",
        variant->said_by);
    return length < 0 ? -ENOMEM : 0;
}

int sources_find(struct sources *sources, const struct pkgcache *cache,
                 struct pkgcache_error *ret_error)
{
    CLEANUP_FREE struct repository_query *queries = calloc(sources->count + 1, sizeof(*queries));
    CLEANUP_FREE size_t *places = calloc(sources->count + 1, sizeof(*places));
    size_t count = 0;
    if (!queries || !places)
        return error_set(ret_error, ENOMEM, "out of memory");
    for (size_t i = 0; i < sources->count; i++) {
        const struct source_variant *item = &sources->items[i];
        if (!item->handle || item->reason || item->root || slot_is_cached(cache, item->handle))
            continue;
        places[count] = i;
        queries[count++] = (struct repository_query){.handle = item->handle};
    }
    if (count == 0)
        return 0;
    int result = sources_open_repositories(sources, ret_error);
    if (result == 0)
        result = repositories_find(sources->repositories, queries, count, ret_error);
    for (size_t i = 0; i < count; i++) {
        if (result == 0)
            result = take_answer(sources, &sources->items[places[i]], &queries[i]);
        repository_variant_free(&queries[i].variant);
    }
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}
