/* --report of warm. */
#include "cli/report.h"

#include "cache/util/file.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <string.h>
#include <unistd.h>

static bool is_for_output(const struct options *options)
{
    return options->report && strcmp(options->report, "-") == 0;
}

bool report_is_printed(const struct options *options)
{
    return options->json || is_for_output(options);
}

int report_write(const struct options *options, int (*print)(FILE *file, const void *context),
                 const void *context)
{
    const char *path = options->report;
    struct pkgcache_error error;
    CLEANUP_FREE char *aside = NULL;
    if (!path || is_for_output(options))
        return EXIT_DONE;
    if (file_check_place(path, &error) < 0)
        return output_error(options, EXIT_PARTLY, error.code, "report: %s", error.message);
    if (asprintf(&aside, "%s.%d.tmp", path, getpid()) < 0)
        return output_error(options, EXIT_PARTLY, ENOMEM, "report %s: out of memory", path);
    unlink(aside); /* of a process that was killed, and had our number */
    CLEANUP_FCLOSE FILE *file = fopen(aside, "wxe");
    int result = file ? print(file, context) : -errno;
    if (result == 0 && (fputc('\n', file) < 0 || fflush(file) < 0 || fsync(fileno(file)) < 0 ||
                        rename(aside, path) < 0))
        result = -errno;
    if (result == 0)
        return EXIT_DONE;
    if (file)
        unlink(aside);
    return output_error(options, EXIT_PARTLY, -result, "report %s: %s", path, strerror(-result));
}
