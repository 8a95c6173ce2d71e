/* Records of use beside the sidecars. */
#include "cache/store/used.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>

enum { NAME_SIZE = 24 };

static const char *name_of(ino_t inode, char ret[static NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%llu", (unsigned long long)inode);
    return ret;
}

/* Touches a record. Returns -ENOENT: there is none; or another -errno. */
static int touch(int directory, const char *name)
{
    CLEANUP_CLOSE int fd = names_open_file(directory, name, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return -errno;
    if (!file_has_only_name(directory, name, fd))
        return -EPERM;
    return futimens(fd, NULL) < 0 ? -errno : 0;
}

void used_record(struct pkgcache *cache, const struct slot_view *view)
{
    char name[NAME_SIZE];
    if (!view->touch_refused)
        return;
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_CLOSE int directory = cache_open_private(cache, "used", true);
    name_of(view->sidecar_inode, name);
    if (directory >= 0 && touch(directory, name) == -ENOENT)
        file_make(directory, name, "", &fd);
}

/* Opens a record to be looked at, in one call where the kernel can: most sidecars have none. */
static int open_record(const struct pkgcache *cache, ino_t inode)
{
    const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    char path[NAME_SIZE + sizeof(".sys/used/")];
    char name[NAME_SIZE];
    snprintf(path, sizeof(path), ".sys/used/%s", name_of(inode, name));
    int fd = cache_open_below(cache, path, flags);
    if (fd != -ENOSYS)
        return fd;
    CLEANUP_CLOSE int directory = cache_open_private(cache, "used", false);
    return directory < 0 ? directory : names_open_file(directory, name, flags, 0);
}

bool used_has_records(const struct pkgcache *cache)
{
    struct names names;
    CLEANUP_CLOSE int directory = cache_open_private(cache, "used", false);
    if (directory < 0)
        return directory != -ENOENT;
    names_borrow(&names, directory);
    bool has = names_next(&names) || names.error < 0;
    names_close(&names);
    return has;
}

struct timespec used_last(const struct pkgcache *cache, const struct slot_view *view)
{
    struct stat status;
    CLEANUP_CLOSE int fd = open_record(cache, view->sidecar_inode);
    if (fd < 0 || fstat(fd, &status) < 0)
        return view->last_used;
    bool newer = status.st_mtim.tv_sec > view->last_used.tv_sec ||
                 (status.st_mtim.tv_sec == view->last_used.tv_sec &&
                  status.st_mtim.tv_nsec > view->last_used.tv_nsec);
    return newer ? status.st_mtim : view->last_used;
}

void used_clean(struct pkgcache *cache, uint64_t age_s)
{
    struct names names;
    struct stat status;
    CLEANUP_CLOSE int directory = cache_open_private(cache, "used", false);
    if (directory < 0 || names_open(&names, directory) < 0)
        return;
    time_t now = time(NULL);
    for (const char *name; (name = names_next(&names));)
        if (name[strspn(name, "0123456789")] == '\0' && names_stat(directory, name, &status) == 0 &&
            (uint64_t)MAX(now - clock_file_s(status.st_mtim), (time_t)0) > age_s)
            unlinkat(directory, name, 0);
    names_close(&names);
}
