/*
 * Look-ups where a variant was. Names are relative to the cache, not to a directory that was kept
 * open, which might have been moved away: what is found is what the path that we answer leads to.
 * The looks and their order are those of lookup.c.
 */
#include "cache/recall.h"

#include <fcntl.h>
#include <string.h>

enum {
    PLACES = 4096, /* a power of two */
    SLOT_MAX = 12, /* with the NUL: longer names are not remembered */
    PATH_SIZE = 2 * (HANDLE_COMPONENT_MAX + 1) + 8 + SLOT_FILE_MAX,
};

struct place {
    uint32_t hash;
    char slot[SLOT_MAX];
};

struct recall {
    struct place places[PLACES];
};

/* FNV-1a, of what tells most variants apart; the others are told apart by their sidecars. */
static uint32_t hash_of(const struct pkgcache_handle *handle)
{
    uint32_t hash = 2166136261U ^ (uint32_t)handle->index;
    for (const char *byte = handle->relative_path; *byte; byte++)
        hash = (hash ^ (unsigned char)*byte) * 16777619U;
    return hash ^ hash >> 16;
}

void recall_note(struct pkgcache *cache, const struct pkgcache_handle *handle,
                 const char *slot_name)
{
    struct place place = {.hash = hash_of(handle)};
    if (strlen(slot_name) >= SLOT_MAX)
        return;
    strcpy(place.slot, slot_name);
    pthread_mutex_lock(&cache->look_up_lock);
    if (!cache->recall)
        cache->recall = calloc(1, sizeof(*cache->recall));
    if (cache->recall)
        cache->recall->places[place.hash % PLACES] = place;
    pthread_mutex_unlock(&cache->look_up_lock);
}

/* Returns false when nothing is remembered of a handle. */
static bool recall(struct pkgcache *cache, const struct pkgcache_handle *handle, struct place *ret)
{
    uint32_t hash = hash_of(handle);
    *ret = (struct place){0};
    pthread_mutex_lock(&cache->look_up_lock);
    if (cache->recall)
        *ret = cache->recall->places[hash % PLACES];
    pthread_mutex_unlock(&cache->look_up_lock);
    return ret->hash == hash && *ret->slot;
}

/* The state of a name of the slot, or -errno. */
static int look_at(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                   const char *prefix, const char *slot, struct stat *ret)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s%s", handle->relative_path, prefix, slot);
    return fstatat(cache->fd, path, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

bool recall_find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 struct slot_view *ret)
{
    char path[PATH_SIZE];
    struct stat status;
    struct place place;
    if (!recall(cache, handle, &place))
        return false;
    const char *slot = place.slot;
    snprintf(path, sizeof(path), "%s/%s.json", handle->relative_path, slot);
    CLEANUP_CLOSE int fd = cache_open_below(cache, path, SIDECAR_OPEN_FLAGS);
    if (fd < 0 || !sidecar_file_holds(fd, handle) ||
        look_at(cache, handle, ".copying-", slot, &status) != -ENOENT ||
        look_at(cache, handle, "", slot, &status) < 0 || !S_ISDIR(status.st_mode) ||
        fstat(fd, &status) < 0 || status.st_nlink == 0 || !S_ISREG(status.st_mode))
        return false;
    *ret = (struct slot_view){.status = PKGCACHE_FOUND,
                              .last_used = status.st_mtim,
                              .sidecar_inode = status.st_ino,
                              .touch_refused = touch && futimens(fd, NULL) < 0};
    strcpy(ret->name, slot);
    return true;
}

void recall_free(struct pkgcache *cache)
{
    free(cache->recall);
    cache->recall = NULL;
}
