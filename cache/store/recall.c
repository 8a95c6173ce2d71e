/*
 * Look-ups where a variant was. Its directory is opened each time, from the cache on and through no
 * link: one that is kept open might have been moved away, and the answer must be what the path
 * leads to.
 *
 * The checks and their order are those of lookup.c. One is left out where that is possible: the
 * sidecar is not read again while its inode's change time (ctime) stays what it was before and
 * after the last reading. So a place is sure when two look-ups in a row read the sidecar and saw
 * the same change time, and that time was not the present moment: within a tick of the kernel's
 * clock two changes may get one time. Then the payload is opened, and its sidecar and .copying are
 * checked from there: `..` is where the payload is now, not where it was when it was opened.
 *
 * A process that looks up all the time, as the daemon does, has the hash directories watched. As
 * long as inotify(7) reports no change since the last check, the slot is what it was. inotify also
 * reports when the path no longer leads there: a hash directory reports its own move; the move of
 * NAME or NAME/VERSION is reported by the directory above it, the cache's or NAME. Then all places
 * are checked again. (Only people move such directories, by hand.) The events are read after the
 * questions have come and before they are answered, once for all of them: whoever changes something
 * and then asks has put the event there before.
 *
 * Touching changes the sidecar's times. It is left out where somebody has done it within the last
 * second: "last used" is for telling days apart.
 */
#include "cache/store/recall.h"

#include "cache/owner/watch.h"
#include "cache/store/sidecar.h"
#include "cache/util/names.h"

#include "engine/clock.h"
#include "engine/copyengine.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

enum {
    PLACES = 16384, /* a power of two */
    SLOT_MAX = 12,  /* with the NUL: longer names are not remembered */
    PATH_SIZE = 2 * (HANDLE_COMPONENT_MAX + 1) + 8 + SLOT_FILE_MAX,
    CLOCK_TICK_MS = 20, /* twice that of the slowest kernel */
};

struct place {
    unsigned char sha1[SHA1_BYTES]; /* of the handle */
    char slot[SLOT_MAX];
    bool sure;
    ino_t sidecar_inode;
    struct timespec sidecar_changed; /* its ctime */
    struct timespec used;            /* its mtime, or when it was touched since */
    int directory;                   /* the number of the hash directory's watch; 0: none */
    bool unchanged; /* since it was checked; true only of a place that watched_places has */
};

struct recall {
    struct place places[PLACES];
    struct watch watch; /* of the hash directories */
    struct watch moves; /* of the cache's directory, and of those with a package's name */
    bool watches;
    uint64_t changes;                     /* that the watches reported */
    struct place *watched_places[PLACES]; /* by the directory's number, modulo PLACES */
};

/* The place of a handle. With the lock held. */
static struct place *find_place(const struct pkgcache *cache, const struct pkgcache_handle *handle)
{
    uint32_t hash;
    static_assert((PLACES & (PLACES - 1)) == 0, "a power of two");
    assert(cache->recall);
    memcpy(&hash, handle->sha1, sizeof(hash));
    return &cache->recall->places[hash % PLACES];
}

static struct place **find_watched_place(struct recall *recall, int directory)
{
    assert(directory > 0); /* 0 means no watch, below 0 are errors */
    return &recall->watched_places[(unsigned)directory % PLACES];
}

/* Makes changes in its directory known to a place. Another place, whose directory's number is the
 * same modulo PLACES, no longer hears of changes in its own. */
static void place_set_watched(struct recall *recall, struct place *place)
{
    struct place **watched = find_watched_place(recall, place->directory);
    assert(place->unchanged && place >= recall->places && place < recall->places + PLACES);
    if (*watched && *watched != place)
        (*watched)->unchanged = false;
    *watched = place;
}

/* Remembers. @param changes how many there were before the check that `place` is the result of */
static void store_place(struct pkgcache *cache, const struct pkgcache_handle *handle,
                        const struct place *place, uint64_t changes)
{
    pthread_mutex_lock(&cache->look_up_lock);
    if (!cache->recall)
        cache->recall = calloc(1, sizeof(*cache->recall));
    if (cache->recall) {
        struct place *ours = find_place(cache, handle);
        assert(*place->slot && changes <= cache->recall->changes);
        assert(!place->unchanged || (place->directory > 0 && cache->recall->watches));
        if (ours->directory > 0 && ours->directory != place->directory)
            watch_no_more(&cache->recall->watch, ours->directory);
        *ours = *place;
        ours->unchanged = place->unchanged && changes == cache->recall->changes;
        if (ours->unchanged)
            place_set_watched(cache->recall, ours);
    }
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
    store_place(cache, handle, &place, 0);
}

static void close_watches(struct recall *recall)
{
    watch_close(&recall->watch);
    watch_close(&recall->moves);
}

static bool open_watches(struct recall *recall, const struct pkgcache *cache)
{
    int opened = watch_open(&cache->self, &recall->watch);
    if (watch_open(&cache->self, &recall->moves) == 0 && opened == 0 &&
        watch_moves(&recall->moves, cache->fd) > 0)
        return true;
    close_watches(recall);
    return false;
}

void recall_watch(struct pkgcache *cache)
{
    if (copyengine_is_remote(cache->fd)) /* inotify reports no changes by other hosts */
        return;
    pthread_mutex_lock(&cache->look_up_lock);
    if (!cache->recall)
        cache->recall = calloc(1, sizeof(*cache->recall));
    if (cache->recall && !cache->recall->watches)
        cache->recall->watches = open_watches(cache->recall, cache);
    pthread_mutex_unlock(&cache->look_up_lock);
}

static void note_change(void *context, int directory)
{
    struct recall *recall = context;
    struct place *place = directory > 0 ? *find_watched_place(recall, directory) : NULL;
    recall->changes++;
    if (place)
        place->unchanged = false;
    for (size_t i = 0; directory == WATCH_EVERYTHING && i < PLACES; i++)
        recall->places[i].unchanged = false;
}

static void note_move(void *context, int directory)
{
    (void)directory;
    note_change(context, WATCH_EVERYTHING);
}

void recall_take_changes(struct pkgcache *cache)
{
    pthread_mutex_lock(&cache->look_up_lock);
    if (cache->recall && cache->recall->watches) {
        watch_take_changes(&cache->recall->watch, note_change, cache->recall);
        watch_take_changes(&cache->recall->moves, note_move, cache->recall);
    }
    pthread_mutex_unlock(&cache->look_up_lock);
}

/*
 * Returns false when nothing is remembered of a handle.
 *
 * *ret_changes: how many there were when that was so
 */
static bool load_place(struct pkgcache *cache, const struct pkgcache_handle *handle,
                       struct place *ret, uint64_t *ret_changes)
{
    *ret = (struct place){.sure = false};
    pthread_mutex_lock(&cache->look_up_lock);
    if (cache->recall) {
        *ret = *find_place(cache, handle);
        assert(!ret->unchanged ||
               *find_watched_place(cache->recall, ret->directory) == find_place(cache, handle));
        *ret_changes = cache->recall->changes;
    }
    pthread_mutex_unlock(&cache->look_up_lock);
    return *ret->slot && memcmp(ret->sha1, handle->sha1, sizeof(ret->sha1)) == 0;
}

/* Watches the directory of a package's name for versions that are moved. */
static bool watch_package_name(struct pkgcache *cache, const struct pkgcache_handle *handle)
{
    CLEANUP_CLOSE int fd =
        cache_open_below(cache, handle->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && watch_moves(&cache->recall->moves, fd) > 0;
}

static int stat_entry(int dirfd, const char *path, struct stat *ret)
{
    return names_stat(dirfd, path, ret) < 0 ? -errno : 0;
}

/* Watches a place's directory before it is checked; from the top down, so that a directory that is
 * put in its place is noticed. Returns whether all changes from now on are reported. */
static bool watch_place(struct pkgcache *cache, const struct pkgcache_handle *handle,
                        struct place *place)
{
    struct stat watched;
    struct stat there;
    place->directory = 0;
    if (!watch_package_name(cache, handle))
        return false;
    CLEANUP_CLOSE int fd = cache_open_hash_directory(cache, handle, false);
    int directory = fd < 0 ? fd : watch_directory(&cache->recall->watch, fd);
    if (directory <= 0)
        return false;
    place->directory = directory;
    CLEANUP_CLOSE int again_fd = cache_open_hash_directory(cache, handle, false);
    return fstat(fd, &watched) == 0 && again_fd >= 0 && fstat(again_fd, &there) == 0 &&
           there.st_ino == watched.st_ino && there.st_dev == watched.st_dev;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* How long ago a time was; negative: it is in the future. */
static int64_t age_ms(struct timespec time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (now.tv_sec - clock_file_s(time)) * 1000 +
           (now.tv_nsec - time.tv_nsec) / (int64_t)NS_PER_MS;
}

/* The path of a slot's file, relative to the cache or to something else in its directory. */
static const char *join_path(const char *directory, const char *prefix, const char *slot,
                             const char *suffix, char ret[static PATH_SIZE])
{
    char *end = stpcpy(stpcpy(ret, directory), "/");
    stpcpy(stpcpy(stpcpy(end, prefix), slot), suffix);
    return ret;
}

/* For a sure place: whether the slot is whole, and its sidecar the one that was read. */
static bool is_unchanged(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                         const struct place *place, struct stat *ret_sidecar)
{
    char path[PATH_SIZE];
    struct stat status;
    CLEANUP_CLOSE int fd =
        cache_open_below(cache, join_path(handle->relative_path, "", place->slot, "", path),
                         O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || stat_entry(fd, join_path("..", SLOT_COPYING_PREFIX, place->slot, "", path),
                             &status) != -ENOENT)
        return false;
    return stat_entry(fd, join_path("..", "", place->slot, ".json", path), ret_sidecar) == 0 &&
           ret_sidecar->st_ino == place->sidecar_inode &&
           is_same_time(ret_sidecar->st_ctim, place->sidecar_changed);
}

/* For any other place: the same, by reading the sidecar. */
static bool is_whole(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                     struct place *place, struct stat *ret_sidecar)
{
    char file[SLOT_FILE_MAX];
    struct stat status;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    if (hash_fd < 0)
        return false;
    slot_sidecar_name(place->slot, file);
    CLEANUP_CLOSE int fd = names_open_file(hash_fd, file, SIDECAR_OPEN_FLAGS, 0);
    slot_copying_name(place->slot, file);
    if (fd < 0 || !sidecar_file_holds(fd, handle) ||
        stat_entry(hash_fd, file, &status) != -ENOENT ||
        stat_entry(hash_fd, place->slot, &status) < 0 || !S_ISDIR(status.st_mode) ||
        fstat(fd, ret_sidecar) < 0 || ret_sidecar->st_nlink == 0 || !S_ISREG(ret_sidecar->st_mode))
        return false;
    place->sure = ret_sidecar->st_ino == place->sidecar_inode &&
                  is_same_time(ret_sidecar->st_ctim, place->sidecar_changed) &&
                  age_ms(ret_sidecar->st_ctim) > CLOCK_TICK_MS;
    place->sidecar_inode = ret_sidecar->st_ino;
    place->sidecar_changed = ret_sidecar->st_ctim;
    return true;
}

/* Checks a place against the disk. *ret_learned: the place has changed, and is to be stored. */
static bool check_place(struct pkgcache *cache, const struct pkgcache_handle *handle,
                        struct place *place, bool *ret_learned)
{
    struct stat sidecar;
    assert(cache->recall && !place->unchanged);
    bool watches = cache->recall->watches;
    bool sure = !watches && place->sure && is_unchanged(cache, handle, place, &sidecar);
    place->unchanged = watches && watch_place(cache, handle, place);
    if (!sure && !is_whole(cache, handle, place, &sidecar))
        return false;
    place->used = sidecar.st_mtim;
    *ret_learned = !sure;
    return true;
}

/* Returns whether touching was tried; *ret_refused: it was not permitted. */
static bool touch_sidecar(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                          struct place *place, bool *ret_refused)
{
    char file[SLOT_FILE_MAX];
    int64_t used_ms = age_ms(place->used);
    if (used_ms >= -CLOCK_TICK_MS && used_ms <= RECALL_TOUCH_INTERVAL_MS)
        return false;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    slot_sidecar_name(place->slot, file);
    *ret_refused = hash_fd < 0 || utimensat(hash_fd, file, NULL, AT_SYMLINK_NOFOLLOW) < 0;
    clock_gettime(CLOCK_REALTIME_COARSE, &place->used);
    return true;
}

bool recall_find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 struct slot_view *ret)
{
    uint64_t changes = 0;
    bool learned = false;
    struct place place;
    if (!load_place(cache, handle, &place, &changes))
        return false;
    if (!place.unchanged && !check_place(cache, handle, &place, &learned))
        return false;
    *ret = (struct slot_view){
        .status = PKGCACHE_FOUND, .last_used = place.used, .sidecar_inode = place.sidecar_inode};
    strcpy(ret->name, place.slot);
    if (touch && touch_sidecar(cache, handle, &place, &ret->touch_refused))
        learned = true;
    if (learned)
        store_place(cache, handle, &place, changes);
    return true;
}

void recall_free(struct pkgcache *cache)
{
    if (cache->recall && cache->recall->watches)
        close_watches(cache->recall);
    free(cache->recall);
    cache->recall = NULL;
}
