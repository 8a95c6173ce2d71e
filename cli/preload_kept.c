/* Earlier attempts' directories in staging. */
#include "cli/preload_kept.h"
#include "cache/preload/farm_digest.h"
#include "cache/store/staging.h"
#include "cache/util/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct search {
    struct pkgcache *cache;
    const struct farm_pack *pack;
    size_t prefix_length; /* of the names of directories of this run */
    int to;
    int fd;
    size_t parts;
    uint64_t bytes;
};

void preload_kept_remove_parts(int directory, const char *prefix)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        CLEANUP_CLOSE int part =
            openat(directory, entry->d_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (part >= 0 && ftruncate(part, 0) == 0)
            unlinkat(directory, entry->d_name, 0);
    }
}

/* How many parts a file begins with. */
static size_t count_whole(int fd, const struct farm_pack *pack, uint64_t *ret_bytes)
{
    size_t parts = 0;
    *ret_bytes = 0;
    while (parts < pack->part_count) {
        const struct farm_part *part = &pack->parts[parts];
        char digest[FARM_DIGEST_SIZE];
        if (farm_digest_copy(fd, (off_t)*ret_bytes, part->bytes, -1, digest) < 0 ||
            strcmp(digest, part->digest) != 0)
            break;
        *ret_bytes += part->bytes;
        parts++;
    }
    return parts;
}

/* Takes the pack of a directory, if it is longer than what there is. */
static void take(struct search *search, int directory)
{
    struct stat status;
    uint64_t bytes;
    CLEANUP_CLOSE int fd = openat(directory, PRELOAD_PACK_NAME,
                                  O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != geteuid() || status.st_nlink != 1)
        return;
    size_t parts = count_whole(fd, search->pack, &bytes);
    if (parts <= search->parts || ftruncate(fd, (off_t)bytes) < 0 ||
        renameat(directory, PRELOAD_PACK_NAME, search->to, PRELOAD_PACK_NAME) < 0)
        return;
    cleanup_close_fd(&search->fd);
    search->fd = steal_fd(&fd);
    search->parts = parts;
    search->bytes = bytes;
}

static int look_at(void *context, const char *id, const char *why)
{
    struct search *search = context;
    struct stat status;
    (void)why;
    if (strncmp(id, search->pack->staging, search->prefix_length) != 0)
        return 0;
    CLEANUP_CLOSE int fd =
        openat(search->cache->staging_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid())
        return 0;
    take(search, fd);
    preload_kept_remove_parts(fd, "part-");
    cache_delete_tree(search->cache, search->cache->staging_fd, id, -1, NULL, NULL);
    staging_forget(search->cache, id);
    return 0;
}

void preload_kept_take(struct pkgcache *cache, const struct farm_pack *pack, int to, int *ret_fd,
                       size_t *ret_parts, uint64_t *ret_bytes)
{
    const char *end = strrchr(pack->staging, '-'); /* the attempt's number stands behind it */
    struct search search = {.cache = cache, .pack = pack, .to = to, .fd = -1};
    if (end) {
        search.prefix_length = (size_t)(end + 1 - pack->staging);
        staging_find_left(cache, look_at, &search);
    }
    *ret_fd = search.fd;
    *ret_parts = search.parts;
    *ret_bytes = search.bytes;
}
