/*
 * Evicts whole variants: those that were not used for long, and, while the cache is too large, the
 * least recently used ones. Never evicts one that is in use. Between that check and the removal:
 *
 *  - /proc is scanned after the slot was noted, and when its mtime is so old that a look-up would
 *    change it. A process that uses the slot later has looked it up later: then the sidecar's
 *    mtime, read again with the lock held, differs from the noted one, and the slot stays. So does
 *    a slot that the scan saw in use, whatever children its user starts.
 *  - Leases are read with the lock held, and written with the lock held (lease.h).
 *  - A look-up that takes no lease may return a root just before it is removed, as with rez.
 *
 * The lock is taken for each slot anew, and held for some ten system calls.
 */
#include "cache/clean/evict.h"

#include "cache/store/lease.h"
#include "cache/store/log.h"
#include "cache/store/lookup.h"
#include "cache/store/sidecar.h"
#include "cache/store/slot.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/stats.h"
#include "cache/store/tree.h"
#include "cache/store/used.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/share.h"

#include "engine/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

enum { SECONDS_PER_DAY = 24 * 3600 };

/* A slot that is to go. */
struct condemned {
    int hash_fd;
    const char *directory; /* NAME/VERSION/HASH4 */
    const char *name;
    struct timespec last_used; /* when it was condemned */
    const char *why;
    uint64_t bytes;
};

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Makes a slot that is in use look used now, so that rez, which knows only times, keeps it too. */
static void touch_sidecar(const struct cleaning *cleaning, const struct condemned *slot)
{
    char file[SLOT_FILE_MAX];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    slot_sidecar_name(slot->name, file);
    if (!cleaning->options->dry_run && sidecar_read(slot->hash_fd, file, &sidecar, NULL) == 0)
        futimens(sidecar.fd, NULL);
}

static const char is_anothers[] = "it belongs to another user. That user or root can remove it";

/* Whether the sticky bit of its directory keeps a slot from us. */
static bool is_kept_from_us(const struct condemned *slot)
{
    struct stat directory, payload;
    uid_t uid = geteuid();
    return uid != 0 && fstat(slot->hash_fd, &directory) == 0 &&
           share_is_sticky(directory.st_mode) && directory.st_uid != uid &&
           names_stat(slot->hash_fd, slot->name, &payload) == 0 && payload.st_uid != uid;
}

/* Returns why a slot has to stay; NULL: it may go. */
static const char *find_reason_to_keep(struct cleaning *cleaning, const struct condemned *slot)
{
    if (is_kept_from_us(slot))
        return is_anothers;
    const struct inuse *inuse = cleaning_find_inuse_since(cleaning, slot->last_used);
    uint64_t key = slot_key(slot->directory, slot->name);
    const char *why = NULL;
    if (inuse_has(inuse, key))
        why =
            inuse->everything ? "/proc cannot be read, so it may be in use" : "in use by a process";
    else if (lease_is_held(cleaning->cache, key, true))
        why = "leased by a process";
    if (why && !inuse->everything)
        touch_sidecar(cleaning, slot);
    if (!why && inuse_may_be_unseen(inuse, slot->last_used.tv_sec))
        why = "used within the last day, and only root can see whether processes of other users "
              "use it now";
    return why;
}

/* With the lock held. Returns 1: it was removed; 0: it has changed since; or -errno. */
static int remove_unused(struct pkgcache *cache, const struct lock *lock,
                         const struct condemned *slot)
{
    char file[SLOT_FILE_MAX];
    char uri[LOG_URI_MAX];
    struct slot_view view;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    assert(lock && slot->hash_fd >= 0);
    snprintf(file, sizeof(file), "%s.json", slot->name);
    if (sidecar_read(slot->hash_fd, file, &sidecar, NULL) < 0)
        return 0;
    slot_view_read(slot->hash_fd, slot->name, sidecar.fd, &view);
    if (view.status != PKGCACHE_FOUND || !is_same_time(used_last(cache, &view), slot->last_used) ||
        lease_is_held(cache, slot_key(slot->directory, slot->name), false))
        return 0;
    int result =
        slot_remove(cache, lock, slot->hash_fd, slot->name, sidecar.handle->qualified_name);
    if (result < 0)
        return result;
    slot_manifest_forget(cache, sidecar.handle, slot->name);
    stats_add(cache, STATS_EVICTED, 1);
    log_write(cache, LOGGED_INFO, "Removed unused variant %s from cache",
              log_uri(sidecar.handle, uri));
    return 1;
}

/* Returns 1: it was removed, or would be in a dry run; 0: it stays; or -errno: the clean ends. */
static int evict_slot(struct cleaning *cleaning, const struct condemned *slot)
{
    const struct pkgcache_clean *options = cleaning->options;
    const char *kept = find_reason_to_keep(cleaning, slot);
    int result = 1;
    if (kept) {
        cleaning_report_kept(cleaning, slot->directory, slot->name, kept, slot->bytes);
        return 0;
    }
    if (!options->dry_run) {
        struct lock *lock = NULL;
        result = cache_make_directories(cleaning->cache, cleaning->error);
        if (result == 0)
            result = cleaning_take_lock(cleaning, &lock);
        if (result < 0)
            return result;
        result = remove_unused(cleaning->cache, lock, slot);
        lock_release(lock);
    }
    if (result == -EPERM || result == -EACCES)
        cleaning_report_kept(cleaning, slot->directory, slot->name, is_anothers, slot->bytes);
    else if (result < 0)
        cleaning_report_failure(cleaning, slot->directory, slot->name, strerror(-result));
    if (result <= 0)
        return 0;
    cleaning_report_removed(cleaning, slot->directory, slot->name, slot->why, slot->bytes, false);
    return 1;
}

static bool is_unused(const struct cleaning *cleaning, struct timespec last_used)
{
    int64_t days = cleaning->options->max_unused_days;
    int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    return days > 0 && now_s - clock_file_s(last_used) > days * SECONDS_PER_DAY;
}

/* With the lock held. @param size NOT_COUNTED where sizes do not matter */
static int evict_or_note(struct cleaning *cleaning, const struct condemned *slot,
                         const struct size *size)
{
    char path[CLEAN_PATH_MAX];
    bool unused = is_unused(cleaning, slot->last_used);
    if (unused) {
        int result = evict_slot(cleaning, slot);
        if (result != 0)
            return MIN(result, 0);
    }
    if (!cleaning->state.sized || size->bytes == PKGCACHE_NOT_COUNTED)
        return 0;
    if (unused) { /* it stays: it is counted, and not judged again */
        clean_state_count(&cleaning->state, size->bytes);
        return 0;
    }
    snprintf(path, sizeof(path), "%s/%s", slot->directory, slot->name);
    return clean_state_note(&cleaning->state, path, slot->last_used, size->bytes);
}

int evict_if_unused(struct cleaning *cleaning, int hash_fd, const char *path, const char *name,
                    int sidecar_fd)
{
    struct stat status;
    struct size size = {PKGCACHE_NOT_COUNTED, PKGCACHE_NOT_COUNTED};
    if (fstat(sidecar_fd, &status) < 0 || status.st_nlink == 0)
        return 0; /* gone meanwhile */
    struct slot_view view = {.last_used = status.st_mtim, .sidecar_inode = status.st_ino};
    struct condemned slot = {
        hash_fd,
        path,
        name,
        cleaning->has_records ? used_last(cleaning->cache, &view) : view.last_used,
        "was not used within --max-variant-days",
        PKGCACHE_NOT_COUNTED,
    };
    bool unused = is_unused(cleaning, slot.last_used);
    if (cleaning->state.sized && size_find_trusted(hash_fd, name, sidecar_fd, &size) < 0)
        size.bytes = PKGCACHE_NOT_COUNTED;
    if (!unused && size.bytes == PKGCACHE_NOT_COUNTED)
        return 0;
    if (unused) { /* for the report */
        struct size said = size;
        if (size_kept(sidecar_fd, &said) < 0 && cleaning->options->dry_run)
            size_find(hash_fd, name, &said);
        slot.bytes = said.bytes;
    }
    pthread_mutex_lock(&cleaning->lock);
    int result = evict_or_note(cleaning, &slot, &size);
    pthread_mutex_unlock(&cleaning->lock);
    return result;
}

/* Returns as evict_slot(). */
static int evict_candidate(struct cleaning *cleaning, const struct clean_candidate *candidate)
{
    char *name = strrchr(candidate->path, '/');
    assert(name); /* NAME/VERSION/HASH4/INC */
    *name++ = '\0';
    CLEANUP_CLOSE int hash_fd = tree_open(cleaning->cache, candidate->path);
    struct condemned slot = {
        .hash_fd = hash_fd,
        .directory = candidate->path,
        .name = name,
        .last_used = candidate->last_used,
        .why = "was least recently used, and the cache is larger than --max-size",
        .bytes = candidate->bytes,
    };
    return hash_fd < 0 ? 0 : evict_slot(cleaning, &slot);
}

int evict_for_size(struct cleaning *cleaning)
{
    struct clean_state *state = &cleaning->state;
    int result = 0;
    assert(state->sized && cleaning->bytes_max != UINT64_MAX);
    clean_state_sort(state);
    while (result == 0 && state->bytes > cleaning->bytes_max && state->count > 0) {
        struct clean_candidate *candidate = &state->oldest[--state->count];
        result = evict_candidate(cleaning, candidate);
        if (result > 0)
            state->bytes -= MIN(candidate->bytes, state->bytes);
        free(candidate->path);
        result = result < 0 ? result : cleaning_check(cleaning);
    }
    return result;
}
