/* Leaving whoever started us. */
#include "cli/leave.h"

#include "cache/util/text.h"
#include "engine/compiler.h"

#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

/* For kernels before 5.9, and sandboxes. */
static void close_one_by_one(int from, int to)
{
    CLEANUP_DIR DIR *directory = opendir("/proc/self/fd");
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        long fd = strtol(entry->d_name, NULL, 10); /* 0 of `.` and `..`, which is not meant */
        if (fd >= from && fd <= to && fd != dirfd(directory))
            close((int)fd);
    }
}

static void close_range_of(int from, int to)
{
    if (from <= to && syscall(SYS_close_range, (unsigned)from, (unsigned)to, 0U) < 0)
        close_one_by_one(from, to);
}

void leave_descriptors(int kept)
{
    const int first = STDERR_FILENO + 1;
    close_range_of(first, kept - 1);
    close_range_of(kept < first ? first : kept + 1, INT_MAX);
}

/* An empty one names nothing. @param rez one of rez's: if it begins with ~ or a variable, rez
 * expands that later */
static bool is_relative(const char *path, bool rez)
{
    return *path && !strchr(rez ? "/~$" : "/", *path);
}

int leave_resolve(const char *directory, char **path)
{
    char *absolute;
    if (!is_relative(*path, false))
        return 0;
    if (!directory)
        return -ENOENT;
    if (asprintf(&absolute, "%s/%s", directory, *path) < 0)
        return -ENOMEM;
    free(*path);
    *path = absolute;
    return 0;
}

/* Makes the paths of a list absolute, between which are colons. */
static int resolve_list(const char *directory, const char *list, bool rez, struct text *text)
{
    CLEANUP_FREE char *paths = strdup(list);
    char *rest = paths;
    if (!paths)
        return -ENOMEM;
    for (const char *path; (path = strsep(&rest, ":"));) {
        if (is_relative(path, rez) && !directory)
            return -ENOENT;
        if (is_relative(path, rez))
            text_printf(text, "%s/", directory);
        text_append_string(text, path);
        if (rest)
            text_append_byte(text, ':');
    }
    return text->error;
}

/* The same for a variable that holds paths; an empty one stays. */
static int resolve_variable(const char *directory, const char *name)
{
    CLEANUP_TEXT struct text text = {0};
    const char *value = getenv(name);
    bool rez = strncmp(name, "REZ_", 4) == 0;
    int result = value && *value ? resolve_list(directory, value, rez, &text) : 0;
    if (result < 0 || text.length == 0)
        return result;
    return setenv(name, text.bytes, 1) < 0 ? -errno : 0;
}

int leave_resolve_list(const char *directory, char **paths)
{
    CLEANUP_TEXT struct text text = {0};
    int result = resolve_list(directory, *paths, false, &text);
    if (result < 0 || text.length == 0)
        return result;
    free(*paths);
    *paths = NULL;
    return text_steal(&text, paths, NULL);
}

int leave_directory(char **ret_directory)
{
    static const char *const variables[] = {
        "PKGCACHE_DIR",    "PKGCACHE_SOCKET",   "PKGCACHE_LOCAL_PATH",     "PKGCACHE_REPOSITORIES",
        "REZ_CONFIG_FILE", "REZ_PACKAGES_PATH", "REZ_LOCAL_PACKAGES_PATH", "REZ_TMPDIR"};
    int result = 0;
    CLEANUP_FREE char *directory = getcwd(NULL, 0);
    for (size_t i = 0; result == 0 && i < ARRAY_LENGTH(variables); i++)
        result = resolve_variable(directory, variables[i]);
    const char *python = getenv("PKGCACHE_REZ_PYTHON");
    if (result == 0 && python && strchr(python, '/')) /* else it is looked for in PATH */
        result = resolve_variable(directory, "PKGCACHE_REZ_PYTHON");
    if (result == 0 && chdir("/") < 0)
        result = -errno;
    if (result == 0)
        *ret_directory = STEAL(directory);
    return result;
}
