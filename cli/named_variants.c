/* Commands that do one thing for each variant that is named. */
#include "cli/named_variants.h"

#include "cache/store/lookup.h"
#include "cli/exit.h"
#include "cli/output.h"

int open_cache(struct options *options, struct pkgcache **ret)
{
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    const char *path = options->settings.values[SETTING_CACHE].text;
    if (!*ret && pkgcache_open(path, &cache_options, false, ret, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    return -1;
}

/*
 * What of the variants is a handle or a URI, or was found by its name. Returns an exit code, or -1:
 * go on, with the number of them.
 */
static int resolve_names(struct options *options, struct named_variants *named, const char **ret,
                         size_t *ret_count)
{
    int code = -1;
    for (size_t i = 0; i < named->count && code < 0; i++) {
        struct named_variant *item = &named->items[i];
        item->text = named->names.texts[i];
        item->name = item->text;
        bool is_name = variant_name_is_meant(item->text);
        if (is_name)
            code = open_cache(options, &named->cache);
        if (is_name && code < 0)
            code = variant_name_resolve(options, named->cache, item->text, &item->resolved);
        item->missing = is_name && !item->resolved && variant_name_is_likely(item->text);
        if (code < 0 && !item->missing)
            ret[(*ret_count)++] = item->resolved ? item->resolved : item->text;
    }
    return code;
}

/* Gives each item its handle. Returns an exit code, or -1: go on. */
static int take_handles(struct options *options, struct named_variants *named)
{
    const struct source_variant *variant = named->sources.variants.items;
    for (size_t i = 0; i < named->count; i++) {
        struct named_variant *item = &named->items[i];
        if (item->missing)
            continue;
        if (!variant->handle)
            return output_error(options, EXIT_FAILED, EINVAL, "%s: %s", variant->text,
                                variant->reason);
        if (!item->resolved)
            item->name = variant->text;
        item->handle = variant++->handle;
    }
    return -1;
}

int named_variants_read(struct options *options, struct named_variants *ret)
{
    struct pkgcache_error error;
    size_t count = 0;
    *ret = (struct named_variants){0};
    if (sources_open(&ret->sources, NULL, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    int code = variant_names_read(options, &ret->names);
    if (code >= 0)
        return code;
    ret->items = calloc(ret->names.count + 1, sizeof(*ret->items));
    CLEANUP_FREE const char **texts = calloc(ret->names.count + 1, sizeof(*texts));
    if (!ret->items || !texts)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    ret->count = ret->names.count;
    code = resolve_names(options, ret, texts, &count);
    if (code >= 0)
        return code;
    if (sources_read_variants(&ret->sources, texts, count, NULL, &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    return take_handles(options, ret);
}

int named_variants_open(struct options *options, struct named_variants *ret)
{
    int code = named_variants_read(options, ret);
    if (code < 0)
        code = open_cache(options, &ret->cache);
    for (size_t i = 0; i < ret->count && code < 0; i++)
        named_variants_reread(ret, i);
    return code;
}

bool named_variants_reread(struct named_variants *named, size_t i)
{
    struct named_variant *item = &named->items[i];
    if (!item->handle || item->resolved || item->other || *item->text == '{' ||
        slot_is_cached(named->cache, item->handle) ||
        layout_read_otherwise(item->text, item->handle, &item->other) < 0 ||
        !slot_is_cached(named->cache, item->other))
        return false;
    item->handle = item->other;
    return true;
}

void named_variants_close(struct named_variants *named)
{
    pkgcache_close(named->cache);
    for (size_t i = 0; i < named->count; i++) {
        free(named->items[i].resolved);
        handle_free(named->items[i].other);
    }
    free(named->items);
    variant_names_free(&named->names);
    sources_free(&named->sources);
}
