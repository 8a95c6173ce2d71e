/* The list of variants, and what is named twice in it. */
#include "cache/rez/source_variants.h"

#include <limits.h>
#include <string.h>

struct source_variant *source_variants_add(struct source_variants *variants)
{
    if (variants->count == variants->capacity) {
        size_t capacity = MAX(2 * variants->capacity, (size_t)64);
        struct source_variant *items = reallocarray(variants->items, capacity, sizeof(*items));
        if (!items)
            return NULL;
        variants->items = items;
        variants->capacity = capacity;
    }
    variants->items[variants->count] = (struct source_variant){0};
    return &variants->items[variants->count++];
}

void source_variant_give_reason(struct source_variant *variant, int code, const char *reason)
{
    if (variant->reason)
        return;
    variant->reason = strdup(reason);
    variant->code = code;
}

int source_variant_refuse(struct source_variant *variant, const char *said_by)
{
    CLEANUP_FREE char *reason = NULL;
    if (variant->reason)
        return 0;
    variant->is_refused = true;
    variant->said_by = said_by;
    if (asprintf(&reason, "the package is not cachable: %s forbids it%s", said_by,
                 variant->is_policy ? "" : "; pkgcache add --force caches it anyway") < 0)
        return -ENOMEM;
    source_variant_give_reason(variant, EPERM, reason);
    return variant->reason ? 0 : -ENOMEM;
}

static void free_variant(struct source_variant *variant)
{
    handle_free(variant->handle);
    free(variant->handle_json);
    free(variant->text);
    free(variant->root);
    free(variant->requires_json);
    free(variant->uri);
    free(variant->context);
    if (variant->supply)
        variant->supply->kind->release(variant->supply);
    free(variant->reason);
    *variant = (struct source_variant){0};
}

void source_variants_clear(struct source_variants *variants)
{
    for (size_t i = 0; i < variants->count; i++)
        free_variant(&variants->items[i]);
    free(variants->items);
    *variants = (struct source_variants){.keeps_refused = variants->keeps_refused};
}

int source_variants_add_handle(struct source_variants *variants,
                               const struct pkgcache_handle *handle, const char *text)
{
    struct source_variant *variant = source_variants_add(variants);
    if (!variant)
        return -ENOMEM;
    int result = handle_create(handle->location, handle->name, handle->version, handle->index,
                               &variant->handle, NULL);
    variant->text = result == 0 ? strdup(text) : NULL;
    return variant->text ? 0 : -ENOMEM;
}

/* By handle; those that are equal stay in the order in which they were named. */
static int compare_variants(const void *left, const void *right)
{
    const struct source_variant *a = *(const struct source_variant *const *)left;
    const struct source_variant *b = *(const struct source_variant *const *)right;
    int order = handle_compare(a->handle, b->handle);
    return order ? order : (a > b) - (a < b);
}

static void unite(struct source_variant *first, struct source_variant *again)
{
    char reason[2 * PATH_MAX + 128];
    bool same = !again->root || (first->root && strcmp(first->root, again->root) == 0);
    if (again->reason)
        source_variant_give_reason(first, again->code, again->reason);
    if (!first->requires_json)
        first->requires_json = STEAL(again->requires_json);
    first->has_definition = first->has_definition || again->has_definition;
    first->is_policy = first->is_policy && again->is_policy;
    if (!first->context)
        first->context = STEAL(again->context);
    if (!first->root && again->root) {
        first->root = STEAL(again->root);
        first->supply = STEAL(again->supply);
    } else if (!same) {
        snprintf(reason, sizeof(reason), "it is named with two different roots, %s and %s",
                 first->root, again->root);
        source_variant_give_reason(first, EINVAL, reason);
    }
    free_variant(again);
}

int source_variants_unite(struct source_variants *variants)
{
    CLEANUP_FREE struct source_variant **sorted = calloc(variants->count + 1, sizeof(*sorted));
    size_t count = 0;
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < variants->count; i++)
        if (variants->items[i].handle)
            sorted[count++] = &variants->items[i];
    qsort(sorted, count, sizeof(*sorted), compare_variants);
    for (size_t i = 0, first = 0; i < count; i++) {
        if (i > first && handle_equal(sorted[first]->handle, sorted[i]->handle))
            unite(sorted[first], sorted[i]);
        else
            first = i;
    }
    size_t kept = 0;
    for (size_t i = 0; i < variants->count; i++)
        if (variants->items[i].text)
            variants->items[kept++] = variants->items[i];
    variants->count = kept;
    return 0;
}

int source_places_fill(const struct source_variants *variants, struct source_places *ret)
{
    *ret = (struct source_places){.places = calloc(variants->count + 1, sizeof(*ret->places))};
    if (!ret->places)
        return -ENOMEM;
    for (; ret->count < variants->count; ret->count++)
        ret->places[ret->count] = ret->count;
    return 0;
}

void source_places_free(struct source_places *places)
{
    free(places->places);
    *places = (struct source_places){0};
}
