/* One look-up for each variant. Nothing is recorded: that they are used is for who warms to say. */
#include "cache/rez/source_missing.h"

#include "cache/store/lookup.h"

int source_missing_find(const struct source_variants *variants, const struct pkgcache *cache,
                        struct source_places *ret)
{
    *ret = (struct source_places){.places = calloc(variants->count + 1, sizeof(*ret->places))};
    if (!ret->places)
        return -ENOMEM;
    for (size_t i = 0; i < variants->count; i++) {
        const struct source_variant *variant = &variants->items[i];
        if (variant->handle && !variant->reason && !variant->root &&
            !(cache && slot_is_cached(cache, variant->handle)))
            ret->places[ret->count++] = i;
    }
    return 0;
}
