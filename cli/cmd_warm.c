/* pkgcache warm: brings every variant that the sources name into the cache. */
#include "cache/rez/source_packs.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/fill_dry.h"
#include "cli/interruption.h"
#include "cli/output.h"

#include <malloc.h>

/* Threads that decompress allocate and free megabytes: each in an arena of its own (malloc(3)),
 * they would keep far more memory than is in use. */
enum { ARENAS_MAX = 2 };

int cmd_warm(struct options *options)
{
    struct source_packs packs;
    struct sources sources = {
        .names = {.all = options->all, .archives = &packs.archives},
        .variants = {.keeps_refused = true},
    };
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    int code = -1;
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    interruption_begin(options, INTERRUPTION_BEFORE_FILL);
    source_packs_init(&packs, options->trust_pack, options->settings.values[SETTING_CACHE].text,
                      settings_cache_options(&options->settings).bytes_per_s);
    if (settings_rez(&options->settings, &config) < 0 || sources_open(&sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (sources_read(&sources, (const char *const *)options->arguments,
                     (size_t)options->argument_count, &error) < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (code < 0)
        code = options->dry_run ? fill_dry(options, &sources) : fill_cache(options, &sources);
    sources_free(&sources);
    source_packs_free(&packs);
    return code;
}
