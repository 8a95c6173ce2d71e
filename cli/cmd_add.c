/* pkgcache add: caches the variants that the command line names. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/output.h"

int cmd_add(struct options *options)
{
    struct sources sources = {.force = options->force};
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    int code;
    if (options->root && options->argument_count != 1)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "add: --root gives the root of one VARIANT, but there are %d",
                            options->argument_count);
    if (settings_rez(&options->settings, &config) < 0 || sources_open(&sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (sources_read_variants(&sources, (const char *const *)options->arguments,
                              (size_t)options->argument_count, options->root, &error) < 0)
        code = output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    else
        code = fill_cache(options, &sources);
    sources_free(&sources);
    return code;
}
