/* Commands that do one thing for each variant of the command line. */
#include "cli/named_variants.h"

#include "cli/exit.h"
#include "cli/output.h"

int open_cache(struct options *options, struct pkgcache **ret)
{
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    const char *path = options->settings.values[SETTING_CACHE].text;
    if (pkgcache_open(path, &cache_options, false, ret, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    return -1;
}

int named_variants_read(struct options *options, struct named_variants *ret)
{
    struct pkgcache_error error;
    size_t count = (size_t)options->argument_count;
    *ret = (struct named_variants){0};
    if (sources_open(&ret->sources, NULL, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (sources_read_variants(&ret->sources, (const char *const *)options->arguments, count, NULL,
                              &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    for (size_t i = 0; i < count; i++) {
        const struct source_variant *variant = &ret->sources.variants.items[i];
        if (!variant->handle)
            return output_error(options, EXIT_FAILED, EINVAL, "%s: %s", variant->text,
                                variant->reason);
    }
    return -1;
}

int named_variants_open(struct options *options, struct named_variants *ret)
{
    int code = named_variants_read(options, ret);
    return code < 0 ? open_cache(options, &ret->cache) : code;
}

void named_variants_close(struct named_variants *named)
{
    pkgcache_close(named->cache);
    sources_free(&named->sources);
}
