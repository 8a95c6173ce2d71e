/* Taking variants out of the cache. Their bytes go at the next clean. */
#include "cache/store/lookup.h"
#include "cache/store/slot.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/stats.h"
#include "cache/store/status.h"

#include <string.h>

/* With the lock held: takes away what there is of a handle. Returns the status. */
static int remove_locked(struct pkgcache *cache, const struct lock *lock, int hash_fd,
                         const struct pkgcache_handle *handle, const struct slot_view *condemned)
{
    bool removed = false;
    for (;;) {
        struct slot_view view;
        int result = slot_find(hash_fd, handle, false, &view);
        if (result < 0)
            return result;
        if (view.status == PKGCACHE_NOT_FOUND && !view.damaged)
            return removed ? PKGCACHE_REMOVED : PKGCACHE_NOT_FOUND;
        bool dead = view.damaged || (condemned->status != PKGCACHE_NOT_FOUND &&
                                     view.copying_inode == condemned->copying_inode &&
                                     view.beat.tv_sec == condemned->beat.tv_sec &&
                                     view.beat.tv_nsec == condemned->beat.tv_nsec &&
                                     strcmp(view.name, condemned->name) == 0);
        if (view.status == PKGCACHE_FOUND)
            result = slot_remove(cache, lock, hash_fd, view.name, handle->qualified_name);
        else if (dead)
            result = slot_retire(cache, lock, hash_fd, view.name, handle->qualified_name);
        else
            return removed ? PKGCACHE_REMOVED : PKGCACHE_COPYING;
        if (result < 0)
            return result;
        slot_manifest_forget(cache, handle, view.name);
        removed = removed || !view.damaged;
    }
}

/* Returns the status: REMOVED, NOT_FOUND or COPYING; or -errno. */
static int remove_variant(struct pkgcache *cache, const struct pkgcache_handle *handle,
                          struct pkgcache_error *ret_error)
{
    struct slot_view view;
    struct owner owner;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    if (hash_fd == -ENOENT)
        return PKGCACHE_NOT_FOUND;
    int result = hash_fd < 0 ? hash_fd : slot_find(hash_fd, handle, false, &view);
    if (result < 0)
        return error_set(ret_error, -result, "cannot look up %s in %s: %s", handle->qualified_name,
                         cache->path, error_text(-result));
    bool copying = view.status == PKGCACHE_COPYING || view.status == PKGCACHE_COPY_STALLED;
    if (view.status == PKGCACHE_NOT_FOUND && !view.damaged)
        return PKGCACHE_NOT_FOUND;
    if (copying && !slot_copier_is_gone(cache, hash_fd, &view, &owner))
        return PKGCACHE_COPYING;
    struct lock *lock;
    result = cache_make_directories(cache, ret_error);
    if (result < 0)
        return result;
    result = cache_lock(cache, cache_lock_timeout_ms(cache), -1, &lock, ret_error);
    if (result < 0)
        return result;
    result = remove_locked(cache, lock, hash_fd, handle, &view);
    lock_release(lock);
    if (result == PKGCACHE_REMOVED) {
        stats_add(cache, STATS_REMOVALS, 1);
        stats_flush(cache);
    }
    if (result == -EPERM || result == -EACCES)
        return error_set(
            ret_error, -result,
            "cannot remove %s from %s: it belongs to another user. That user or root can remove it",
            handle->qualified_name, cache->path);
    if (result < 0)
        return error_set(ret_error, -result, "cannot remove %s from %s: %s", handle->qualified_name,
                         cache->path, error_text(-result));
    return result;
}

int pkgcache_remove(struct pkgcache *cache, const struct pkgcache_handle *handle,
                    enum pkgcache_status *ret_status, struct pkgcache_error *ret_error)
{
    return status_answer(remove_variant(cache, handle, ret_error), PKGCACHE_REMOVED, ret_status);
}
