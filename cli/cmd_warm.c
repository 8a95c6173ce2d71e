/* pkgcache warm: brings every variant that the sources name into the cache. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/output.h"

int cmd_warm(struct options *options)
{
    struct sources sources = {.names = {.all = options->all}};
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    int code = -1;
    if (settings_rez(&options->settings, &config) < 0 || sources_open(&sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (sources_read(&sources, (const char *const *)options->arguments,
                     (size_t)options->argument_count, &error) < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (code < 0 && sources.variants.passed_over > 0)
        output_verbose(options, "ignored because they are not cachable: %zu variants",
                       sources.variants.passed_over);
    if (code < 0)
        code = fill_cache(options, &sources);
    sources_free(&sources);
    return code;
}
