/* Staging directories, and which of them nobody needs any more. */
#include "cache/store/staging.h"

#include "cache/owner/owner_file.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/project.h"
#include "cache/util/share.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* The id is there. */
static int make(struct pkgcache *cache, mode_t mode, struct staging *ret)
{
    ret->owner = cache->self;
    snprintf(ret->owner.staging, sizeof(ret->owner.staging), "%s", ret->id);
    char text[OWNER_TEXT_MAX];
    char owner_name[STAGING_ID_MAX + sizeof(STAGING_OWNER_SUFFIX)];
    owner_format(&ret->owner, text);
    snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, ret->id);
    int result = file_make(cache->staging_fd, owner_name, text, &ret->owner_fd);
    if (result < 0)
        return result;
    if (mkdirat(cache->staging_fd, ret->id, mode) < 0)
        return -errno;
    ret->fd = names_open_directory(cache->staging_fd, ret->id);
    if (ret->fd < 0)
        return -errno;
    project_follow(ret->fd, cache->fd); /* what is made here is renamed to there */
    return 0;
}

int staging_open(struct pkgcache *cache, struct staging *ret)
{
    *ret = (struct staging){.cache = cache, .fd = -1, .owner_fd = -1};
    cache_unique_name("run", ret->id, sizeof(ret->id));
    return make(cache, 0777, ret);
}

int staging_open_private(struct pkgcache *cache, const char *id, struct staging *ret)
{
    *ret = (struct staging){.cache = cache, .fd = -1, .owner_fd = -1};
    if (strlen(id) >= sizeof(ret->id))
        return -ENAMETOOLONG;
    strcpy(ret->id, id);
    return make(cache, S_IRWXU, ret);
}

void staging_close(struct staging *staging)
{
    cleanup_close_fd(&staging->owner_fd);
    cleanup_close_fd(&staging->fd);
    if (*staging->id) {
        cache_delete_tree(staging->cache, staging->cache->staging_fd, staging->id, -1, NULL, NULL);
        staging_forget(staging->cache, staging->id);
    }
    *staging = (struct staging){.fd = -1, .owner_fd = -1};
}

void staging_leave(struct staging *staging)
{
    cleanup_close_fd(&staging->owner_fd);
    cleanup_close_fd(&staging->fd);
    *staging = (struct staging){.fd = -1, .owner_fd = -1};
}

void staging_forget(const struct pkgcache *cache, const char *id)
{
    char owner_name[NAME_MAX + 1];
    struct stat status;
    snprintf(owner_name, sizeof(owner_name), "%.200s" STAGING_OWNER_SUFFIX, id);
    if (names_stat(cache->staging_fd, id, &status) < 0 && errno == ENOENT)
        unlinkat(cache->staging_fd, owner_name, 0);
}

int staging_write(const struct staging *staging, const char *name, const char *text, bool durable)
{
    /* whatever the umask: nobody vouches for what others may write to (see repairs.c) */
    CLEANUP_CLOSE int fd = names_open_file(staging->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
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

/* --- What was left behind ------------------------------------------------------------------- */

/* The name of the staging directory whose owner's file this is; false: it is something else. */
static bool id_of_owner_file(const char *owner_name, char ret[static NAME_MAX + 1])
{
    static const char suffix[] = STAGING_OWNER_SUFFIX;
    size_t length = strlen(owner_name);
    if (length < sizeof(suffix) || length > NAME_MAX)
        return false;
    length -= sizeof(suffix) - 1;
    if (strcmp(owner_name + length, suffix) != 0)
        return false;
    memcpy(ret, owner_name, length);
    ret[length] = '\0';
    return true;
}

/*
 * Whether something in staging has no owner's file. That of a run is there before its directory, so
 * a directory is nobody's, however young: a clean that was killed while it deleted it has changed
 * it. A file may be on its way to somewhere.
 */
static bool is_without_owner(const struct pkgcache *cache, const char *name)
{
    char owner_name[NAME_MAX + 1];
    struct stat status;
    int length = snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, name);
    bool owned = length <= NAME_MAX && names_stat(cache->staging_fd, owner_name, &status) == 0;
    return !owned && names_stat(cache->staging_fd, name, &status) == 0 &&
           (S_ISDIR(status.st_mode) || clock_age_s(status.st_mtim) > cache->options.stall_grace_s);
}

static bool owner_has_left(const struct pkgcache *cache, const char *owner_name)
{
    struct owner_file file;
    if (owner_file_find(cache->staging_fd, owner_name, &cache->self, cache->options.stall_grace_s,
                        &file) < 0)
        return false;
    return file.state == OWNER_GONE || (file.state == OWNER_UNKNOWN && file.overdue);
}

int staging_find_left(const struct pkgcache *cache, staging_left_found *found, void *context)
{
    struct names names;
    if (cache->staging_fd < 0)
        return 0;
    int result = names_open(&names, cache->staging_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char id[NAME_MAX + 1];
        if (!id_of_owner_file(name, id)) {
            if (is_without_owner(cache, name))
                result = found(context, name, "has no owner record");
        } else if (owner_has_left(cache, name)) {
            result = found(context, id, "was left behind by a process that has ended");
        }
    }
    names_close(&names);
    return result;
}

struct sweep {
    struct pkgcache *cache;
    int cancel_fd;
};

/* What others left is for clean, which says whose it is. */
static int sweep_own(void *context, const char *id, const char *why)
{
    const struct sweep *sweep = context;
    struct stat status;
    (void)why;
    if (names_stat(sweep->cache->staging_fd, id, &status) == 0 && geteuid() != 0 &&
        status.st_uid != geteuid())
        return 0;
    if (cache_delete_tree(sweep->cache, sweep->cache->staging_fd, id, sweep->cancel_fd, NULL,
                          NULL) == -ECANCELED)
        return -ECANCELED;
    staging_forget(sweep->cache, id);
    return 0;
}

void staging_sweep(struct pkgcache *cache, int cancel_fd)
{
    struct sweep sweep = {.cache = cache, .cancel_fd = cancel_fd};
    staging_find_left(cache, sweep_own, &sweep);
}
