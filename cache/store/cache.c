/*
 * An open cache: its directories, made as rez makes them, its engine, its lock. Knows nothing of
 * variants. Opening and closing are open.c's.
 */
#include "cache/store/cache.h"

#include "cache/lock/lock_probe.h"
#include "cache/store/foreign.h"
#include "cache/util/names.h"
#include "cache/util/share.h"

#include "engine/clock.h"
#include "engine/same_mount.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static const int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/*
 * Makes what is renamed out of staging look as if it had been made in place: the group, its
 * inheritance and the default ACL of the cache's own directory, which may have been changed since
 * staging was made. Where that is not ours to do, payloads belong to who made them.
 */
static void inherit(const struct pkgcache *cache)
{
    static const char default_acl[] = "system.posix_acl_default"; /* acl(5) */
    char acl[1024];
    struct stat root;
    struct stat staging;
    if (fstat(cache->fd, &root) < 0 || fstat(cache->staging_fd, &staging) < 0)
        return;
    if (root.st_mode & S_ISGID && (staging.st_gid != root.st_gid || !(staging.st_mode & S_ISGID)) &&
        fchown(cache->staging_fd, (uid_t)-1, root.st_gid) == 0)
        fchmod(cache->staging_fd, (staging.st_mode & 07777) | S_ISGID);
    ssize_t size = fgetxattr(cache->fd, default_acl, acl, sizeof(acl));
    if (size > 0)
        fsetxattr(cache->staging_fd, default_acl, acl, (size_t)size, 0);
}

static int explain_directory(const struct pkgcache *cache, const char *name, bool top, int code,
                             struct pkgcache_error *error)
{
    const char *below = top ? "" : ".sys/";
    if (code == ENOENT && top)
        return error_set(error, code,
                         "cache %s: not a cache: it has no directory .sys, which rez and pkgcache "
                         "create in every cache",
                         cache->path);
    if (code == ENOTDIR || code == ELOOP)
        return error_set(error, code,
                         "cache: %s/%s%s is not a directory (symbolic links are not followed "
                         "there): move it away, and pkgcache creates it again",
                         cache->path, below, name);
    if (code == EXDEV)
        return error_set(error, code, "cache: %s/%s%s: " SAME_MOUNT_WHY, cache->path, below, name);
    return error_set(error, code, "cache %s: cannot create or open its directory %s%s: %s%s",
                     cache->path, below, name, strerror(code), error_advice(code));
}

/* Whether a directory that is no cache may become one. */
static int check_new(const struct pkgcache *cache, struct pkgcache_error *error)
{
    int result = foreign_check_new(cache->fd, cache->path, error);
    if (result == 0 && lock_probe(cache->fd, cache->path, error) < 0)
        result = -EOPNOTSUPP;
    return result;
}

/*
 * Opens the directories under .sys; creates missing ones, or ignores them. In a sticky cache users
 * cannot delete each other's files. In .sys they must be able to, since all users share one lock
 * file: so these directories are not sticky.
 */
static int open_directories(struct pkgcache *cache, bool make, struct pkgcache_error *error)
{
    mode_t bits = share_directory_bits(cache->root.st_mode);
    const struct {
        const char *name;
        int *parent;
        int *fd;
        mode_t bits;
    } directories[] = {
        {".sys", &cache->fd, &cache->sys_fd, bits & ~(mode_t)S_ISVTX},
        {"staging", &cache->sys_fd, &cache->staging_fd, bits},
        {"to_delete", &cache->sys_fd, &cache->trash_fd, bits},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(directories); i++) {
        const char *name = directories[i].name;
        if (*directories[i].fd >= 0)
            continue;
        int fd = names_open_directory(*directories[i].parent, name);
        int code = fd >= 0 ? 0 : errno;
        if (code == ENOENT && make) {
            int refused = i == 0 ? check_new(cache, error) : 0;
            if (refused < 0 && faccessat(cache->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return refused; /* else another process has just made the cache */
            fd =
                share_open_or_make(*directories[i].parent, name, &cache->root, directories[i].bits);
            code = fd >= 0 ? 0 : -fd;
        } else if (code == 0 && make) { /* its owner mends what a umask, or a rez, has left */
            share_follow(fd, &cache->root, directories[i].bits);
        }
        *directories[i].fd = fd >= 0 ? fd : -1;
        if (code != 0 && (make || code != ENOENT || i == 0))
            return explain_directory(cache, name, i == 0, code, error);
    }
    return 0;
}

int cache_make_directories(struct pkgcache *cache, struct pkgcache_error *ret_error)
{
    int result = open_directories(cache, true, ret_error);
    if (result == 0)
        inherit(cache);
    return result;
}

int cache_open_directories(struct pkgcache *cache, struct pkgcache_error *ret_error)
{
    return open_directories(cache, false, ret_error);
}

struct copyengine_options cache_engine_options(const struct pkgcache_options *options)
{
    return (struct copyengine_options){
        .size = sizeof(struct copyengine_options),
        .backend = options->backend,
        .in_flight = options->in_flight,
        .bytes_per_s = options->bytes_per_s,
        .idle_priority = options->idle_priority,
    };
}

int cache_start_engine(struct pkgcache *cache, struct pkgcache_error *ret_error)
{
    struct copyengine_error error;
    if (cache->engine)
        return 0;
    struct copyengine_options options = cache_engine_options(&cache->options);
    int result = copyengine_new(&options, &cache->engine, &error);
    if (result < 0)
        error_set(ret_error, -result, "cannot start the copy engine: %s",
                  error.explanation ? error.explanation : strerror(-result));
    return result;
}

static void on_deleted(void *context)
{
    eventfd_write(*(const int *)context, 1);
}

int cache_delete_tree(struct pkgcache *cache, int dirfd, const char *name, int cancel_fd,
                      uint64_t *ret_bytes, struct copyengine_error *ret_error)
{
    CLEANUP_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
    struct copyengine_removal removal = {
        .size = sizeof(removal),
        .dirfd = dirfd,
        .path = name,
        .on_done = on_deleted,
        .context = &done_fd,
        .count_bytes = ret_bytes,
    };
    struct copyengine_job *job = NULL;
    if (ret_bytes)
        *ret_bytes = PKGCACHE_NOT_COUNTED;
    if (cache_start_engine(cache, NULL) < 0) /* no thread to be had: on this one */
        return copyengine_remove_tree(NULL, dirfd, name, ret_error);
    int result = done_fd < 0 ? -errno : copyengine_submit_removal(cache->engine, &removal, &job);
    if (result < 0) {
        struct copyengine_error error = {.code = -result, .operation = "delete", .path = name};
        if (ret_error)
            copyengine_error_copy(&error, ret_error);
        return result;
    }
    assert(job);
    struct pollfd fds[] = {{.fd = done_fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    while (poll(fds, ARRAY_LENGTH(fds), -1) < 0 && errno == EINTR)
        continue;
    if (fds[1].revents)
        copyengine_cancel(job);
    const struct copyengine_result *ended = copyengine_wait(job);
    const struct copyengine_error *error = &ended->error;
    result = -error->code;
    if (ret_bytes)
        *ret_bytes = ended->progress->bytes;
    if (ret_error)
        copyengine_error_copy(error, ret_error);
    copyengine_job_free(job);
    return result;
}

int pkgcache_version(void)
{
    return PKGCACHE_VERSION;
}

const char *pkgcache_path(const struct pkgcache *cache)
{
    return cache->path;
}

const char *pkgcache_backend_description(const struct pkgcache *cache)
{
    return cache->engine ? copyengine_backend_description(cache->engine) : NULL;
}

int cache_open_private(const struct pkgcache *cache, const char *name, bool make)
{
    CLEANUP_CLOSE int opened = cache->sys_fd < 0 ? names_open_directory(cache->fd, ".sys") : -1;
    int sys_fd = cache->sys_fd < 0 ? opened : cache->sys_fd;
    if (sys_fd < 0)
        return -errno;
    if (make)
        return share_open_or_make(sys_fd, name, &cache->root,
                                  share_directory_bits(cache->root.st_mode) & ~(mode_t)S_ISVTX);
    int fd = names_open_directory(sys_fd, name);
    return fd < 0 ? -errno : fd;
}

/* Name by name, for kernels before 5.6 and for sandboxes; and to make what is missing. */
static int open_name_by_name(const struct pkgcache *cache, const char *path, bool create)
{
    char name[NAME_MAX + 1];
    CLEANUP_CLOSE int fd = -1;
    for (const char *at = path; *at;) {
        int parent = fd < 0 ? cache->fd : fd;
        size_t length = strcspn(at, "/");
        snprintf(name, sizeof(name), "%.*s", (int)length, at);
        at += length + (at[length] == '/');
        int below;
        if (create) {
            below = share_open_or_make(parent, name, &cache->root,
                                       share_directory_bits(cache->root.st_mode));
        } else {
            below = names_open_directory(parent, name);
            below = below < 0 ? -errno : below;
        }
        if (below < 0)
            return below;
        cleanup_close_fd(&fd);
        fd = below;
    }
    return steal_fd(&fd);
}

int cache_open_below(const struct pkgcache *cache, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    long fd = syscall(SYS_openat2, cache->fd, path, &how, sizeof(how));
    if (fd < 0 &&
        (errno == EPERM || errno == EAGAIN)) /* a sandbox; something was moved meanwhile */
        return -ENOSYS;
    return fd >= 0 ? (int)fd : -errno;
}

int cache_open_hash_directory(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                              bool create)
{
    if (create)
        return open_name_by_name(cache, handle->relative_path, true);
    int fd = cache_open_below(cache, handle->relative_path, directory_flags);
    if (fd == -ENOSYS)
        fd = open_name_by_name(cache, handle->relative_path, false);
    /* no directory of ours: nothing is cached there */
    return fd == -ELOOP || fd == -ENOTDIR ? -ENOENT : fd;
}

char *cache_payload_path(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                         const char *slot_name)
{
    char *path;
    int length = asprintf(&path, "%s/%s/%s", cache->path, handle->relative_path, slot_name);
    return length < 0 ? NULL : path;
}

static bool fd_is_readable(void *context)
{
    struct pollfd wait = {.fd = *(const int *)context, .events = POLLIN};
    return poll(&wait, 1, 0) > 0;
}

bool cache_is_cancelled(int cancel_fd)
{
    return cancel_fd >= 0 && fd_is_readable(&cancel_fd);
}

int cache_lock(const struct pkgcache *cache, uint64_t timeout_ms, int cancel_fd, struct lock **ret,
               struct pkgcache_error *ret_error)
{
    struct lock_request request = {
        .sys_fd = cache->sys_fd,
        .cache_path = cache->path,
        .owner = &cache->self,
        .deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS,
        .cancelled = cancel_fd >= 0 ? fd_is_readable : NULL,
        .cancel_argument = &cancel_fd,
    };
    return lock_acquire(&request, ret, ret_error);
}

void cache_unique_name(const char *prefix, char *buffer, size_t size)
{
    uint64_t random[2];
    /* cannot fail for 16 bytes (getrandom(2)) but before the pool is ready: then it blocks */
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        random[0] = clock_monotonic_ns();
    snprintf(buffer, size, "%.200s-%016llx%016llx", prefix, (unsigned long long)random[0],
             (unsigned long long)random[1]);
}
