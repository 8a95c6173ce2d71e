/* Asking what a manifest was made of. */
#include "cache/published/published_sources.h"

#include "engine/compiler.h"

#include <fcntl.h>

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

struct published_times published_times_of(const struct stat *status)
{
    return (struct published_times){status->st_mtim, status->st_ctim};
}

bool published_times_equal(const struct published_times *a, const struct published_times *b)
{
    return is_same_time(a->mtime, b->mtime) && is_same_time(a->ctime, b->ctime);
}

int published_open_package(const struct pkgcache_handle *handle)
{
    CLEANUP_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s%s%s", handle->location, handle->name, handle->version ? "/" : "",
                 handle->version ? handle->version : "") < 0)
        return -ENOMEM;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int published_definition_find(int package_fd, const char *name, struct published_definition *ret)
{
    struct stat status;
    *ret = (struct published_definition){.name = name};
    if (package_fd < 0)
        return package_fd == -ENOENT || package_fd == -ENOTDIR ? 0 : package_fd;
    if (fstatat(package_fd, name, &status, 0) < 0)
        return errno == ENOENT ? 0 : -errno;
    ret->exists = true;
    ret->size = (uint64_t)status.st_size;
    ret->times = published_times_of(&status);
    return 0;
}

bool published_definition_equal(const struct published_definition *a,
                                const struct published_definition *b)
{
    return a->exists == b->exists && a->size == b->size &&
           published_times_equal(&a->times, &b->times);
}
