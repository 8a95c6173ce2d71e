/*
 * Which files are to share blocks, and what is said of it. No lock is held: sharing changes no
 * contents, so it may happen to whatever somebody reads, replaces or deletes at the same moment.
 */
#include "cache/clean/sharing.h"

#include "cache/clean/dedupe.h"
#include "cache/clean/equal_files.h"
#include "cache/store/stats.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum {
    FILES_AT_ONCE = 1 << 21, /* 64 MiB */
    LOOKS_AT_ONCE = 256,     /* at files that are shared already, before the time is looked at */
};

struct sharing {
    struct cleaning *cleaning;
    struct equal_files *files;
    unsigned looks; /* since the time was looked at */
};

/* A file that others may share with. */
struct opened {
    int fd;
    struct stat status;
    char path[PATH_MAX]; /* relative to the cache */
};

static int refuse(const struct cleaning *cleaning)
{
    return error_set(cleaning->error, EOPNOTSUPP,
                     "%s: its file system cannot share the blocks of equal files: leave out "
                     "--share, or move the cache to Btrfs, or to XFS made with reflink=1",
                     cleaning->cache->path);
}

static void report(const struct cleaning *cleaning, const char *path, const char *like,
                   uint64_t bytes)
{
    CLEANUP_FREE char *whole = NULL;
    CLEANUP_FREE char *whole_like = NULL;
    const struct pkgcache_clean *options = cleaning->options;
    if (!options->on_shared || asprintf(&whole, "%s/%s", cleaning->cache->path, path) < 0 ||
        asprintf(&whole_like, "%s/%s", cleaning->cache->path, like) < 0)
        return;
    const struct pkgcache_shared shared = {.path = whole, .like = whole_like, .bytes = bytes};
    options->on_shared(options->context, &shared);
}

/* Has a file share the blocks of the first one. What is not equal after all, and what is another
 * user's, stays as it is. Returns 1: it was shared; 0; or -EOPNOTSUPP with the error set. */
static int share_file(const struct cleaning *cleaning, const struct opened *first, int fd,
                      const char *path, const struct stat *status)
{
    const bool is_same = status->st_dev == first->status.st_dev &&
                         status->st_ino == first->status.st_ino; /* another name of it */
    if (is_same || status->st_size != first->status.st_size || status->st_size == 0 ||
        (geteuid() != 0 && status->st_uid != geteuid()) || dedupe_is_shared(first->fd, fd) == 1)
        return 0;
    uint64_t bytes = MIN((uint64_t)status->st_size, (uint64_t)status->st_blocks * S_BLKSIZE);
    if (cleaning->options->dry_run && !dedupe_is_supported(first->fd, fd))
        return refuse(cleaning);
    if (!cleaning->options->dry_run) {
        int64_t shared = dedupe_share(first->fd, fd, (uint64_t)status->st_size);
        if (shared == -EOPNOTSUPP)
            return refuse(cleaning);
        if (shared <= 0)
            return 0;
        bytes = MIN(bytes, (uint64_t)shared);
        stats_add(cleaning->cache, STATS_SHARED_FILES, 1);
        stats_add(cleaning->cache, STATS_SHARED_BYTES, bytes);
    }
    report(cleaning, path, first->path, bytes);
    return 1;
}

static int share_equal(void *context, const struct equal_file *equal, size_t count)
{
    struct sharing *sharing = context;
    struct cleaning *cleaning = sharing->cleaning;
    struct opened first = {.fd = -1};
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        char path[PATH_MAX];
        struct stat status;
        CLEANUP_CLOSE int fd = equal_file_open(sharing->files, &equal[i], path, &status);
        if (fd < 0)
            continue; /* it is gone, or nothing that we read */
        if (first.fd >= 0) {
            result = share_file(cleaning, &first, fd, path, &status);
            if (result == 1 || ++sharing->looks == LOOKS_AT_ONCE) {
                sharing->looks = 0;
                result = cleaning_check(cleaning);
            }
            continue;
        }
        first.fd = steal_fd(&fd);
        first.status = status;
        strcpy(first.path, path);
    }
    cleanup_close_fd(&first.fd);
    return result;
}

static int share_all(struct cleaning *cleaning)
{
    CLEANUP_EQUAL_FILES struct equal_files *files = NULL;
    int result =
        equal_files_find(cleaning->cache, cleaning->options->cancel_fd, FILES_AT_ONCE, &files);
    if (result == 0) {
        struct sharing sharing = {.cleaning = cleaning, .files = files};
        result = equal_files_visit(files, share_equal, &sharing);
    }
    if (result == -ECANCELED)
        error_set(cleaning->error, ECANCELED, "interrupted");
    return result;
}

int sharing_run(struct cleaning *cleaning)
{
    return cleaning->options->share ? share_all(cleaning) : 0;
}

int sharing_run_alone(struct pkgcache *cache, const struct pkgcache_clean *options,
                      struct pkgcache_error *error)
{
    struct cleaning cleaning = {.cache = cache, .options = options, .error = error};
    cleaning.deadline_ns = cleaning_deadline(options);
    int result = share_all(&cleaning);
    stats_flush(cache);
    return result;
}
