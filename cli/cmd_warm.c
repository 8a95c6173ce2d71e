/* pkgcache warm: brings every variant that the sources name into the cache. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/output.h"

int cmd_warm(struct options *options)
{
    struct sources sources = {.all = options->all};
    struct pkgcache_error error;
    int code = -1;
    if (settings_rez(&options->settings, &sources.config) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    for (int i = 0; i < options->argument_count && code < 0; i++)
        if (sources_read(&sources, options->arguments[i], &error) < 0)
            code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (code < 0 && sources.passed_over > 0)
        output_verbose(options, "ignored because they are not cachable: %zu variants",
                       sources.passed_over);
    if (code < 0)
        code = fill_cache(options, &sources);
    sources_free(&sources);
    return code;
}
