/* Chooses the writer, and puts its file in place. */
#include "cache/preload/farm_report.h"

#include "cache/preload/farm_page.h"
#include "cache/util/file.h"

#include <string.h>

static bool is_page(const char *path)
{
    size_t length = strlen(path);
    return length > strlen(".html") && strcmp(path + length - strlen(".html"), ".html") == 0;
}

int farm_report_check(const char *path, struct pkgcache_error *ret_error)
{
    const char *slash = strrchr(path, '/');
    int result = file_check_place(path, ret_error);
    if (result < 0)
        return result;
    CLEANUP_FREE char *directory =
        slash ? strndup(path, MAX((size_t)(slash - path), (size_t)1)) : strdup(".");
    if (!directory)
        return error_set(ret_error, ENOMEM, "out of memory");
    if (access(directory, W_OK | X_OK) < 0)
        return error_set(ret_error, errno, "report %s: nothing can be written in %s: %s", path,
                         directory, strerror(errno));
    return 0;
}

static int write_document(FILE *file, const struct farm_run *run)
{
    int result = farm_run_write(file, run);
    return result == 0 && fputc('\n', file) < 0 ? -errno : result;
}

int farm_report_write(const char *path, const struct farm_run *run,
                      struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *aside = NULL;
    int result = file_check_place(path, ret_error);
    if (result < 0)
        return result;
    if (asprintf(&aside, "%s.%d.tmp", path, getpid()) < 0) {
        aside = NULL;
        return error_set(ret_error, ENOMEM, "out of memory");
    }
    unlink(aside); /* of a process that was killed, and had our number */
    CLEANUP_FCLOSE FILE *file = fopen(aside, "wxe");
    result = -errno;
    if (file)
        result = is_page(path) ? farm_page_write(file, run) : write_document(file, run);
    if (result == 0 && (fflush(file) < 0 || fsync(fileno(file)) < 0 || rename(aside, path) < 0))
        result = -errno;
    if (result == 0)
        return 0;
    if (file)
        unlink(aside);
    return error_set(ret_error, -result, "report %s: %s", path, strerror(-result));
}
