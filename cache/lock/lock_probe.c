/*
 * Trying a file system. What it is called tells little: a FUSE file system may keep inode numbers
 * or invent them, as it is mounted.
 */
#include "cache/lock/lock_probe.h"

#include "cache/lock/lock_file.h"
#include "cache/util/names.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct probe {
    int dirfd;
    int fd;
    char name[64];
    char link[64];
};

static bool is_same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Returns what the file system lacks; NULL: nothing. */
static const char *find_lack_of_links(const struct probe *probe)
{
    struct stat opened, named, linked;
    if (linkat(probe->dirfd, probe->name, probe->dirfd, probe->link, 0) < 0)
        return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS ||
                       errno == EIO /* rclone says so */
                   ? "the lock that is shared with rez needs hard links, and its file system has "
                     "none. Put the cache on a local disk"
                   : NULL; /* a full disk, say: that is for others to report */
    if (fstat(probe->fd, &opened) < 0 || names_stat(probe->dirfd, probe->name, &named) < 0 ||
        names_stat(probe->dirfd, probe->link, &linked) < 0)
        return NULL;
    return is_same_file(&opened, &named) && is_same_file(&opened, &linked)
               ? NULL
               : "its file system gives the names of one file different inode numbers, so nobody "
                 "can tell whose the lock is. Mount it so that it keeps inode numbers (mergerfs: "
                 "with the option use_ino), or put the cache on a local disk";
}

static const char *find_lack_of_locks(const struct probe *probe)
{
    CLEANUP_CLOSE int other = names_open_file(probe->dirfd, probe->name, O_RDWR, 0);
    if (other < 0)
        return NULL;
    if (lock_file_try(probe->fd) == -EOPNOTSUPP)
        return "a cache needs open-file-description locks, and its file system has none (or its "
               "lock service is down). Put the cache on a local disk";
    return lock_file_try(other) == 0 ? "its file system gives the same lock to two at a time. Put "
                                       "the cache on a local disk"
                                     : NULL;
}

int lock_probe(int dirfd, const char *cache_path, struct pkgcache_error *error)
{
    struct probe probe = {.dirfd = dirfd};
    snprintf(probe.name, sizeof(probe.name), LOCK_PROBE_PREFIX "%d-%llx", getpid(),
             (unsigned long long)clock_monotonic_ns());
    snprintf(probe.link, sizeof(probe.link), "%.60s-2", probe.name);
    CLEANUP_CLOSE int fd = names_open_file(dirfd, probe.name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return 1;
    probe.fd = fd;
    const char *lack = find_lack_of_links(&probe);
    if (!lack)
        lack = find_lack_of_locks(&probe);
    (void)unlinkat(dirfd, probe.link, 0);
    (void)unlinkat(dirfd, probe.name, 0);
    return lack ? error_set(error, EOPNOTSUPP, "%s: %s", cache_path, lack) : 0;
}
