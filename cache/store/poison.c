/* Poison: what is moved aside, under names that are used once. */
#include "cache/store/poison.h"

#include "cache/store/log.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define REASON_SUFFIX ".reason"

static bool is_reason(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = sizeof(REASON_SUFFIX) - 1;
    return length > suffix && strcmp(name + length - suffix, REASON_SUFFIX) == 0;
}

/* Deletes the one that was moved aside first, if there are too many. Its change time says when. */
static void drop_oldest(int fd)
{
    struct names names;
    char oldest[NAME_MAX + 1] = "";
    char reason[NAME_MAX + sizeof(REASON_SUFFIX)];
    struct timespec since = {0};
    size_t count = 0;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        struct stat status;
        if (*name == '.' || is_reason(name) || names_stat(fd, name, &status) < 0)
            continue;
        const struct timespec *moved = &status.st_ctim;
        if (count++ == 0 || moved->tv_sec < since.tv_sec ||
            (moved->tv_sec == since.tv_sec && moved->tv_nsec < since.tv_nsec)) {
            since = *moved;
            snprintf(oldest, sizeof(oldest), "%s", name);
        }
    }
    names_close(&names);
    if (count <= POISON_MAX ||
        (unlinkat(fd, oldest, 0) < 0 && unlinkat(fd, oldest, AT_REMOVEDIR) < 0))
        return;
    snprintf(reason, sizeof(reason), "%.240s" REASON_SUFFIX, oldest);
    (void)unlinkat(fd, reason, 0);
}

/* The reason is written first, so a process that is killed in between loses nothing. */
int poison_set_aside(struct pkgcache *cache, int dirfd, const char *name, const char *why)
{
    char aside[NAME_MAX + 1];
    char reason[NAME_MAX + 1];
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_CLOSE int aside_fd = cache_open_private(cache, POISON_DIRECTORY, true);
    CLEANUP_CLOSE int reason_fd = -1;
    if (aside_fd < 0)
        return aside_fd;
    cache_unique_name(name, aside, sizeof(aside));
    snprintf(reason, sizeof(reason), "%.240s" REASON_SUFFIX, aside);
    text_printf(&text, "%s: %s\n", name, why);
    int result = text.error ? text.error : file_make(aside_fd, reason, text.bytes, &reason_fd);
    if (result == 0 && renameat(dirfd, name, aside_fd, aside) < 0) {
        result = -errno;
        unlinkat(aside_fd, reason, 0);
    }
    if (result < 0)
        return result;
    log_write(cache, LOGGED_WARNING,
              "Pending file %s holds no handle: %s; moved it to %s/.sys/" POISON_DIRECTORY "/%s",
              name, why, cache->path, aside);
    drop_oldest(aside_fd);
    return 0;
}
