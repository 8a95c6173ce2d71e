/* Opening a cache: its directories, made as rez makes them. Knows nothing of variants. */
#include "cache/cache.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
    DEFAULT_STALL_GRACE_S = 60,
    DEFAULT_LOCK_TIMEOUT_S = 10,
};

static const int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/* Opens a directory, made before if it is missing. */
static int open_or_make(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, directory_flags);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    if (mkdirat(dirfd, name, 0777) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(dirfd, name, directory_flags);
    return fd >= 0 ? fd : -errno;
}

static int open_root(struct pkgcache *cache, const char *path, bool create,
                     struct pkgcache_error *error)
{
    cache->fd = create ? open_or_make(AT_FDCWD, path) : open(path, directory_flags);
    int code = cache->fd >= 0 ? 0 : create ? -cache->fd : errno;
    if (code == ENOENT && !create)
        return error_set(error, code,
                         "cache %s: there is none; warm and add make it, or name another with "
                         "--cache or PKGCACHE_DIR",
                         path);
    if (code == ENOENT)
        return error_set(error, code,
                         "cache %s: its parent directory does not exist; make that "
                         "first",
                         path);
    if (code)
        return error_set(error, code, "cache %s: %s", path, strerror(code));
    cache->path = realpath(path, NULL);
    if (!cache->path)
        return error_set(error, errno, "cache %s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(cache->fd, &status) < 0)
        return error_set(error, errno, "cache %s: %s", path, strerror(errno));
    cache->device = status.st_dev;
    return 0;
}

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

/* Opens the directories under .sys; makes them if they are missing, or passes over them. */
static int open_directories(struct pkgcache *cache, bool make, struct pkgcache_error *error)
{
    const struct {
        const char *name;
        int *parent;
        int *fd;
    } directories[] = {
        {".sys", &cache->fd, &cache->sys_fd},
        {"staging", &cache->sys_fd, &cache->staging_fd},
        {"to_delete", &cache->sys_fd, &cache->trash_fd},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(directories); i++) {
        const char *name = directories[i].name;
        if (*directories[i].fd >= 0)
            continue;
        int fd = make ? open_or_make(*directories[i].parent, name)
                      : openat(*directories[i].parent, name, directory_flags);
        int code = fd >= 0 ? 0 : make ? -fd : errno;
        *directories[i].fd = fd >= 0 ? fd : -1;
        if (code == ENOENT && !make && i == 0)
            return error_set(error, code,
                             "cache %s: it is none: it has no directory .sys, which rez and "
                             "pkgcache make in a cache",
                             cache->path);
        if (code != 0 && !(code == ENOENT && !make))
            return error_set(error, code, "cache %s: cannot make or open its directory %s: %s%s",
                             cache->path, name, strerror(code), error_advice(code));
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

/* Takes over a path of the options: canonical, as rez has its own, where that is possible. */
static int take_path(const char **path)
{
    char *resolved = *path ? realpath(*path, NULL) : NULL;
    if (*path && !resolved)
        resolved = strdup(*path);
    bool failed = *path && !resolved;
    *path = resolved;
    return failed ? -ENOMEM : 0;
}

int pkgcache_open(const char *path, const struct pkgcache_options *options, bool create,
                  struct pkgcache **ret, struct pkgcache_error *ret_error)
{
    struct pkgcache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return error_set(ret_error, ENOMEM, "cache %s: out of memory", path);
    if (options && take_struct(&cache->options, sizeof(cache->options), options) < 0) {
        free(cache);
        return error_set(ret_error, EINVAL, "cache %s: options of a newer library, or of no size",
                         path);
    }
    if (cache->options.stall_grace_s == 0)
        cache->options.stall_grace_s = DEFAULT_STALL_GRACE_S;
    if (cache->options.lock_timeout_s == 0)
        cache->options.lock_timeout_s = DEFAULT_LOCK_TIMEOUT_S;
    cache->fd = cache->sys_fd = cache->staging_fd = cache->trash_fd = -1;
    owner_of_this_process(&cache->self);
    int local = take_path(&cache->options.local_packages_path);
    int temporary = take_path(&cache->options.temporary_path);
    int result = local < 0 || temporary < 0
                     ? error_set(ret_error, ENOMEM, "cache %s: out of memory", path)
                     : 0;
    if (result == 0)
        result = open_root(cache, path, create, ret_error);
    if (result == 0 && create)
        result = cache_make_directories(cache, ret_error);
    if (result < 0) {
        pkgcache_close(cache);
        return result;
    }
    *ret = cache;
    return 0;
}

void pkgcache_close(struct pkgcache *cache)
{
    if (!cache)
        return;
    copyengine_free(cache->engine);
    int fds[] = {cache->fd, cache->sys_fd, cache->staging_fd, cache->trash_fd};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        cleanup_close_fd(&fds[i]);
    free(cache->path);
    free((char *)cache->options.local_packages_path);
    free((char *)cache->options.temporary_path);
    free(cache);
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
                  *error.explanation ? error.explanation : strerror(-result));
    return result;
}

static void on_deleted(void *context)
{
    eventfd_write(*(const int *)context, 1);
}

int cache_delete_tree(struct pkgcache *cache, int dirfd, const char *name, int cancel_fd,
                      struct copyengine_error *ret_error)
{
    CLEANUP_CLOSE int done_fd = eventfd(0, EFD_CLOEXEC);
    struct copyengine_removal removal = {
        .size = sizeof(removal),
        .dirfd = dirfd,
        .path = name,
        .on_done = on_deleted,
        .context = &done_fd,
    };
    struct copyengine_job *job = NULL;
    if (cache_start_engine(cache, NULL) < 0) /* no thread to be had: on this one */
        return copyengine_remove_tree(NULL, dirfd, name, ret_error);
    int result = done_fd < 0 ? -errno : copyengine_submit_removal(cache->engine, &removal, &job);
    if (result < 0) {
        if (ret_error) {
            *ret_error = (struct copyengine_error){.code = -result, .operation = "delete"};
            snprintf(ret_error->path, sizeof(ret_error->path), "%s", name);
        }
        return result;
    }
    struct pollfd fds[] = {{.fd = done_fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    while (poll(fds, ARRAY_LENGTH(fds), -1) < 0 && errno == EINTR)
        continue;
    if (fds[1].revents)
        copyengine_cancel(job);
    const struct copyengine_error *error = &copyengine_wait(job)->error;
    result = -error->code;
    if (ret_error)
        *ret_error = *error;
    copyengine_job_free(job);
    return result;
}

const char *pkgcache_path(const struct pkgcache *cache)
{
    return cache->path;
}

const char *pkgcache_backend_description(const struct pkgcache *cache)
{
    return cache->engine ? copyengine_backend_description(cache->engine) : NULL;
}

int cache_open_hash_directory(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                              bool create)
{
    if (!create) {
        int fd = openat(cache->fd, handle->relative_path, directory_flags);
        return fd >= 0 ? fd : -errno;
    }
    CLEANUP_FREE char *path = strdup(handle->relative_path);
    if (!path)
        return -ENOMEM;
    CLEANUP_CLOSE int fd = fcntl(cache->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    char *rest = path;
    for (char *name; fd >= 0 && (name = strsep(&rest, "/"));) {
        int below = open_or_make(fd, name);
        close(fd);
        fd = below;
    }
    return steal_fd(&fd);
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
