/* pkgcache add: caches the variants that the command line names. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/output.h"

int cmd_add(struct options *options)
{
    struct sources sources = {.force = options->force};
    struct pkgcache_error error;
    int code = -1;
    if (options->root && options->argument_count != 1)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "add: --root gives the root of one VARIANT, but there are %d",
                            options->argument_count);
    if (settings_rez(&options->settings, &sources.config) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    for (int i = 0; i < options->argument_count && code < 0; i++)
        if (sources_add_variant(&sources, options->arguments[i], options->root, &error) < 0)
            code = output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    if (code < 0)
        code = fill_cache(options, &sources);
    sources_free(&sources);
    return code;
}
