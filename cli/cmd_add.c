/* pkgcache add: caches the variants that the command line names. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/variant_names.h"

static int add(struct options *options, const struct variant_names *names)
{
    struct sources sources = {.force = options->force};
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    if (settings_rez(&options->settings, &config) < 0 || sources_open(&sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    int code = -1;
    if (sources_read_variants(&sources, (const char *const *)names->texts, names->count,
                              options->root, &error) < 0)
        code = output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    if (code < 0)
        code = fill_cache(options, &sources);
    sources_free(&sources);
    return code;
}

/* What list prints is in the cache: its handle takes its place. Where there is no cache, or nothing
 * of that name, the text stays, and is refused as no VARIANT. */
static int resolve_names(const struct options *options, struct variant_names *names)
{
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache *cache = NULL;
    int code = -1;
    for (size_t i = 0; i < names->count && code < 0; i++) {
        char *handle = NULL;
        if (!variant_name_is_meant(names->texts[i]))
            continue;
        if (!cache && pkgcache_open(options->settings.values[SETTING_CACHE].text, &cache_options,
                                    false, &cache, NULL) < 0)
            break;
        code = variant_name_resolve(options, cache, names->texts[i], &handle);
        if (handle) {
            free(names->texts[i]);
            names->texts[i] = handle;
        }
    }
    pkgcache_close(cache);
    return code;
}

int cmd_add(struct options *options)
{
    struct variant_names names;
    interruption_begin(options, INTERRUPTION_BEFORE_FILL);
    int code = variant_names_read(options, &names);
    if (code < 0 && options->root && names.count != 1)
        code = output_error(options, EXIT_USAGE, EINVAL,
                            "add: --root gives the root of one VARIANT, but there are %zu",
                            names.count);
    if (code < 0)
        code = resolve_names(options, &names);
    if (code < 0)
        code = add(options, &names);
    variant_names_free(&names);
    return code;
}
