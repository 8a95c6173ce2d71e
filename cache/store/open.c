/*
 * Opening and closing a cache. Closing also gives back what look-ups, counters and copies have made
 * since. The directories below the root are cache.c's.
 */
#include "cache/store/cache.h"
#include "cache/store/recall.h"
#include "cache/store/stats.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DEFAULT_STALL_GRACE_S = 60,
    DEFAULT_LOCK_TIMEOUT_S = 10,
};

static const int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/* Opens the cache itself, which may be named through a link. */
static int open_or_make_root(const char *path, bool *ret_made)
{
    int fd = open(path, directory_flags);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    *ret_made = mkdir(path, 0777) == 0;
    if (!*ret_made && errno != EEXIST)
        return -errno;
    fd = open(path, directory_flags);
    return fd >= 0 ? fd : -errno;
}

/* @param ret_made whether it was made now, which it can be only with `create` */
static int open_root(struct pkgcache *cache, const char *path, bool create, bool *ret_made,
                     struct pkgcache_error *error)
{
    *ret_made = false;
    cache->fd = create ? open_or_make_root(path, ret_made) : open(path, directory_flags);
    int code = cache->fd >= 0 ? 0 : create ? -cache->fd : errno;
    if (code == ENOENT && !create)
        return error_set(error, code,
                         "cache %s: does not exist. pkgcache warm and add create it; --cache or "
                         "PKGCACHE_DIR names another",
                         path);
    if (code == ENOENT)
        return error_set(error, code,
                         "cache %s: its parent directory does not exist: create that first", path);
    if (code)
        return error_set(error, code, "cache %s: %s", path, strerror(code));
    cache->path = realpath(path, NULL);
    if (!cache->path)
        return error_set(error, errno, "cache %s: %s", path, strerror(errno));
    if (fstat(cache->fd, &cache->root) < 0)
        return error_set(error, errno, "cache %s: %s", path, strerror(errno));
    cache->device = cache->root.st_dev;
    return 0;
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
        return error_struct_size(ret_error, "open", "pkgcache_options");
    }
    pthread_mutex_init(&cache->look_up_lock, NULL);
    if (cache->options.stall_grace_s == 0)
        cache->options.stall_grace_s = DEFAULT_STALL_GRACE_S;
    if (cache->options.lock_timeout_s == 0)
        cache->options.lock_timeout_s = DEFAULT_LOCK_TIMEOUT_S;
    cache->fd = cache->sys_fd = cache->staging_fd = cache->trash_fd = cache->log_fd = -1;
    owner_of_this_process(&cache->self);
    int local = take_path(&cache->options.local_packages_path);
    int temporary = take_path(&cache->options.temporary_path);
    int result = local < 0 || temporary < 0
                     ? error_set(ret_error, ENOMEM, "cache %s: out of memory", path)
                     : 0;
    bool made = false;
    if (result == 0)
        result = open_root(cache, path, create, &made, ret_error);
    if (result == 0 && create)
        result = cache_make_directories(cache, ret_error);
    if (result < 0) {
        if (made)
            (void)rmdir(
                path); /* of a cache that cannot be, nothing is left; if there is more, it stays */
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
    stats_close(cache);
    recall_free(cache);
    int fds[] = {cache->fd, cache->sys_fd, cache->staging_fd, cache->trash_fd, cache->log_fd};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        cleanup_close_fd(&fds[i]);
    pthread_mutex_destroy(&cache->look_up_lock);
    free(cache->path);
    free((char *)cache->options.local_packages_path);
    free((char *)cache->options.temporary_path);
    free(cache);
}
