/*
 * Advice. Everything in a cache is put into place by a rename from staging, which EXDEV forbids
 * where something divides the cache: what that is depends on the file system.
 */
#include "cache/store/advice.h"

#include "cache/util/project.h"
#include "cache/util/share.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

static bool is_on_other_device(const struct pkgcache *cache, const char *path)
{
    struct stat here, staging;
    CLEANUP_CLOSE int fd = cache_open_below(cache, path, O_PATH | O_CLOEXEC);
    if (fd == -EXDEV)
        return true;
    return fd >= 0 && fstat(fd, &here) == 0 && fstat(cache->staging_fd, &staging) == 0 &&
           here.st_dev != staging.st_dev;
}

/* Staging has the project id that the cache gives. */
static bool gives_other_project(const struct pkgcache *cache, const char *path)
{
    uint32_t project, there;
    CLEANUP_CLOSE int fd =
        openat(cache->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && project_find(fd, &there) &&
           !(project_find(cache->fd, &project) && project == there);
}

static bool is_on_fuse(const struct pkgcache *cache)
{
    struct statfs status;
    return fstatfs(cache->fd, &status) == 0 && status.f_type == FUSE_SUPER_MAGIC;
}

const char *cache_advice(const struct pkgcache *cache, const char *path, int code)
{
    if (code == EACCES && cache->root.st_uid == geteuid())
        return "; what another user, such as root, has made in this cache of yours, root gives "
               "back to you with chown -R";
    if (code == EACCES)
        return "; only users who may write there, or a daemon of theirs (--clients), can cache it";
    if (code == EPERM && share_is_sticky(cache->root.st_mode))
        return "; a copy of another user's that was interrupted, or is damaged, may be in the way: "
               "that "
               "user or root can remove it (pkgcache clean)";
    if (code != EXDEV)
        return error_advice(code);
    if (is_on_other_device(cache, path))
        return ". Another file system is mounted inside the cache: unmount it";
    if (is_on_fuse(cache))
        return ". Its file system moves nothing between its branches: mount it so that it does "
               "(mergerfs: ignorepponrename=true, or a category.create that preserves no paths, "
               "such as mfs)";
    if (gives_other_project(cache, path))
        return ". What is made there gets another project id (lsattr -pd) than in the cache: give "
               "all of the cache one with chattr -R -p ID +P";
    return ". A cache must be on one file system: no mounts or quotas inside it";
}
