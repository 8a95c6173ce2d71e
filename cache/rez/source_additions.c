/* Between the list of what was named, and that of what is warmed. */
#include "cache/rez/source_additions.h"

#include "cache/util/error.h"

#include <string.h>

struct pkgcache_result source_variant_result(const struct source_variant *variant)
{
    return (struct pkgcache_result){.status =
                                        variant->is_refused ? PKGCACHE_SKIPPED : PKGCACHE_FAILED,
                                    .reason = strdup(variant->reason)};
}

int source_additions_make(const struct source_variants *variants,
                          const struct source_places *places, bool force,
                          struct source_additions *ret)
{
    size_t count = places->count;
    struct source_additions additions = {
        .variants = calloc(count + 1, sizeof(*additions.variants)),
        .results = calloc(count + 1, sizeof(*additions.results)),
        .places = calloc(count + 1, sizeof(*additions.places)),
        .supplies = calloc(count + 1, sizeof(struct warm_supply *)),
    };
    *ret = additions;
    if (!additions.variants || !additions.results || !additions.places || !additions.supplies)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct source_variant *variant = &variants->items[places->places[i]];
        if (variant->reason)
            continue;
        additions.variants[ret->count] = (struct pkgcache_variant){
            .handle = variant->handle,
            .root = variant->root,
            .force = force,
            .requires_json = variant->requires_json,
        };
        additions.supplies[ret->count] = variant->supply;
        ret->any_supplied = ret->any_supplied || variant->supply;
        additions.places[ret->count++] = places->places[i];
    }
    return 0;
}

int source_additions_find_rootless(const struct source_additions *additions,
                                   struct source_places *ret)
{
    *ret = (struct source_places){.places = calloc(additions->count + 1, sizeof(*ret->places))};
    if (!ret->places)
        return -ENOMEM;
    for (size_t i = 0; i < additions->count; i++) {
        enum pkgcache_status status = additions->results[i].status;
        if (!additions->variants[i].root &&
            (status == PKGCACHE_NOT_FOUND || status == PKGCACHE_FAILED))
            ret->places[ret->count++] = additions->places[i];
    }
    return 0;
}

void source_additions_join(struct source_additions *additions,
                           const struct source_variants *variants,
                           const struct source_places *places, struct pkgcache_result *results)
{
    size_t taken = 0;
    for (size_t i = 0; i < places->count; i++) {
        size_t place = places->places[i];
        pkgcache_results_free(&results[place], sizeof(results[place]), 1);
        if (variants->items[place].reason)
            results[place] = source_variant_result(&variants->items[place]);
        else
            results[place] = additions->results[taken++];
    }
    memset(additions->results, 0, additions->count * sizeof(*additions->results));
}

void source_additions_free(struct source_additions *additions)
{
    if (additions->results)
        pkgcache_results_free(additions->results, sizeof(*additions->results), additions->count);
    free(additions->variants);
    free(additions->results);
    free(additions->places);
    free(additions->supplies);
    *additions = (struct source_additions){0};
}
