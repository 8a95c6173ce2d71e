/*
 * Look-ups where a variant was. Names are relative to the cache, not to a directory that was kept
 * open, which might have been moved away: what is found is what the path that we answer leads to.
 *
 * The looks and their order are those of lookup.c, with one left out where it can be: the sidecar
 * need not be read again while its inode's change time (ctime) is what it was before and after the
 * last reading. So a place is sure when two look-ups in a row read the sidecar and saw the same
 * change time, which was not of that very moment: within a tick of the kernel's clock two changes
 * may have one time. Then the payload is opened, and its sidecar and .copying are looked at from
 * there: `..` is where the payload is now, not where it was when it was opened.
 *
 * Touching changes that time. It is left out where somebody has done it within the last second:
 * "last used" is for telling days apart.
 */
#include "cache/recall.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>

enum {
    PLACES = 4096, /* a power of two */
    SLOT_MAX = 12, /* with the NUL: longer names are not remembered */
    PATH_SIZE = 2 * (HANDLE_COMPONENT_MAX + 1) + 8 + SLOT_FILE_MAX,
    CLOCK_TICK_MS = 20, /* twice that of the slowest kernel */
};

struct place {
    unsigned char sha1[SHA1_BYTES]; /* of the handle */
    char slot[SLOT_MAX];
    bool sure;
    ino_t sidecar_inode;
    struct timespec sidecar_changed; /* its ctime */
};

struct recall {
    struct place places[PLACES];
};

/* Where a handle's place is. With the lock held. */
static struct place *place_of(const struct pkgcache *cache, const struct pkgcache_handle *handle)
{
    uint32_t hash;
    memcpy(&hash, handle->sha1, sizeof(hash));
    return &cache->recall->places[hash % PLACES];
}

static void put(struct pkgcache *cache, const struct pkgcache_handle *handle,
                const struct place *place)
{
    pthread_mutex_lock(&cache->look_up_lock);
    if (!cache->recall)
        cache->recall = calloc(1, sizeof(*cache->recall));
    if (cache->recall)
        *place_of(cache, handle) = *place;
    pthread_mutex_unlock(&cache->look_up_lock);
}

void recall_note(struct pkgcache *cache, const struct pkgcache_handle *handle,
                 const char *slot_name)
{
    struct place place = {.sure = false};
    if (strlen(slot_name) >= SLOT_MAX)
        return;
    memcpy(place.sha1, handle->sha1, sizeof(place.sha1));
    strcpy(place.slot, slot_name);
    put(cache, handle, &place);
}

/* Returns false when nothing is remembered of a handle. */
static bool recall(struct pkgcache *cache, const struct pkgcache_handle *handle, struct place *ret)
{
    *ret = (struct place){.sure = false};
    pthread_mutex_lock(&cache->look_up_lock);
    if (cache->recall)
        *ret = *place_of(cache, handle);
    pthread_mutex_unlock(&cache->look_up_lock);
    return *ret->slot && memcmp(ret->sha1, handle->sha1, sizeof(ret->sha1)) == 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* How long ago that was; negative: it is to come. */
static int64_t age_ms(struct timespec time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (now.tv_sec - time.tv_sec) * 1000 + (now.tv_nsec - time.tv_nsec) / (int64_t)NS_PER_MS;
}

/* The path of a slot's file, relative to the cache or to something else in its directory. */
static const char *join(const char *directory, const char *prefix, const char *slot,
                        const char *suffix, char ret[static PATH_SIZE])
{
    char *end = stpcpy(stpcpy(ret, directory), "/");
    stpcpy(stpcpy(stpcpy(end, prefix), slot), suffix);
    return ret;
}

static int look_at(int dirfd, const char *path, struct stat *ret)
{
    return fstatat(dirfd, path, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* A sure place: whether the slot is whole, and its sidecar the one that was read. */
static bool is_unchanged(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                         const struct place *place, struct stat *ret_sidecar)
{
    char path[PATH_SIZE];
    struct stat status;
    CLEANUP_CLOSE int fd =
        cache_open_below(cache, join(handle->relative_path, "", place->slot, "", path),
                         O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 ||
        look_at(fd, join("..", SLOT_COPYING_PREFIX, place->slot, "", path), &status) != -ENOENT)
        return false;
    return look_at(fd, join("..", "", place->slot, ".json", path), ret_sidecar) == 0 &&
           ret_sidecar->st_ino == place->sidecar_inode &&
           same_time(ret_sidecar->st_ctim, place->sidecar_changed);
}

/* Any other place: the same, by reading the sidecar. */
static bool is_whole(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                     struct place *place, struct stat *ret_sidecar)
{
    char path[PATH_SIZE];
    struct stat status;
    const char *directory = handle->relative_path;
    CLEANUP_CLOSE int fd = cache_open_below(cache, join(directory, "", place->slot, ".json", path),
                                            SIDECAR_OPEN_FLAGS);
    if (fd < 0 || !sidecar_file_holds(fd, handle) ||
        look_at(cache->fd, join(directory, SLOT_COPYING_PREFIX, place->slot, "", path), &status) !=
            -ENOENT ||
        look_at(cache->fd, join(directory, "", place->slot, "", path), &status) < 0 ||
        !S_ISDIR(status.st_mode) || fstat(fd, ret_sidecar) < 0 || ret_sidecar->st_nlink == 0 ||
        !S_ISREG(ret_sidecar->st_mode))
        return false;
    place->sure = ret_sidecar->st_ino == place->sidecar_inode &&
                  same_time(ret_sidecar->st_ctim, place->sidecar_changed) &&
                  age_ms(ret_sidecar->st_ctim) > CLOCK_TICK_MS;
    place->sidecar_inode = ret_sidecar->st_ino;
    place->sidecar_changed = ret_sidecar->st_ctim;
    return true;
}

bool recall_find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 struct slot_view *ret)
{
    char path[PATH_SIZE];
    struct stat sidecar;
    struct place place;
    if (!recall(cache, handle, &place))
        return false;
    bool sure = place.sure && is_unchanged(cache, handle, &place, &sidecar);
    if (!sure && !is_whole(cache, handle, &place, &sidecar))
        return false;
    *ret = (struct slot_view){
        .status = PKGCACHE_FOUND, .last_used = sidecar.st_mtim, .sidecar_inode = sidecar.st_ino};
    strcpy(ret->name, place.slot);
    int64_t used_ms = age_ms(sidecar.st_mtim);
    if (touch && (used_ms < -CLOCK_TICK_MS || used_ms > RECALL_TOUCH_INTERVAL_MS)) {
        join(handle->relative_path, "", place.slot, ".json", path);
        ret->touch_refused = utimensat(cache->fd, path, NULL, AT_SYMLINK_NOFOLLOW) < 0;
    }
    if (!sure)
        put(cache, handle, &place);
    return true;
}

void recall_free(struct pkgcache *cache)
{
    free(cache->recall);
    cache->recall = NULL;
}
