/* Records of use beside the sidecars. */
#include "cache/store/used.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <string.h>

enum { NAME_SIZE = 24 };

static const char *name_of(ino_t inode, char ret[static NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%llu", (unsigned long long)inode);
    return ret;
}

void used_record(struct pkgcache *cache, const struct slot_view *view)
{
    char name[NAME_SIZE];
    if (!view->touch_refused)
        return;
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_CLOSE int directory = cache_open_private(cache, "used", true);
    name_of(view->sidecar_inode, name);
    if (directory >= 0 && utimensat(directory, name, NULL, AT_SYMLINK_NOFOLLOW) < 0)
        file_make(directory, name, "", &fd);
}

struct timespec used_last(const struct pkgcache *cache, const struct slot_view *view)
{
    char path[NAME_SIZE + sizeof(".sys/used/")];
    char name[NAME_SIZE];
    struct stat status;
    snprintf(path, sizeof(path), ".sys/used/%s", name_of(view->sidecar_inode, name));
    if (fstatat(cache->fd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
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
        if (name[strspn(name, "0123456789")] == '\0' &&
            fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (uint64_t)MAX(now - status.st_mtim.tv_sec, (time_t)0) > age_s)
            unlinkat(directory, name, 0);
    names_close(&names);
}
