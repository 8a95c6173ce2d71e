/* Staging directories. Which of them are abandoned is clean's business. */
#include "cache/store/staging.h"

#include "cache/util/file.h"
#include "cache/util/share.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int staging_open(struct pkgcache *cache, struct staging *ret)
{
    *ret = (struct staging){.cache = cache, .fd = -1, .owner_fd = -1};
    cache_unique_name("run", ret->id, sizeof(ret->id));
    ret->owner = cache->self;
    snprintf(ret->owner.staging, sizeof(ret->owner.staging), "%s", ret->id);
    char text[OWNER_TEXT_MAX];
    char owner_name[STAGING_ID_MAX + sizeof(STAGING_OWNER_SUFFIX)];
    owner_format(&ret->owner, text);
    snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, ret->id);
    int result = file_make(cache->staging_fd, owner_name, text, &ret->owner_fd);
    if (result < 0)
        return result;
    if (mkdirat(cache->staging_fd, ret->id, 0777) < 0)
        return -errno;
    ret->fd = openat(cache->staging_fd, ret->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return ret->fd < 0 ? -errno : 0;
}

void staging_close(struct staging *staging)
{
    cleanup_close_fd(&staging->owner_fd);
    cleanup_close_fd(&staging->fd);
    if (*staging->id) {
        cache_delete_tree(staging->cache, staging->cache->staging_fd, staging->id, -1, NULL);
        staging_forget(staging->cache, staging->id);
    }
    *staging = (struct staging){.fd = -1, .owner_fd = -1};
}

void staging_forget(const struct pkgcache *cache, const char *id)
{
    char owner_name[NAME_MAX + 1];
    struct stat status;
    snprintf(owner_name, sizeof(owner_name), "%.200s" STAGING_OWNER_SUFFIX, id);
    if (fstatat(cache->staging_fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        unlinkat(cache->staging_fd, owner_name, 0);
}

int staging_write(const struct staging *staging, const char *name, const char *text, bool durable)
{
    CLEANUP_CLOSE int fd =
        openat(staging->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    const struct stat *root = &staging->cache->root; /* it is going to lie there */
    share_follow(fd, root, share_file_bits(root->st_mode));
    int result = file_write(fd, text);
    if (result == 0 && durable && fsync(fd) < 0)
        result = -errno;
    if (result < 0)
        unlinkat(staging->fd, name, 0);
    return result;
}
