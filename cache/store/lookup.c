/*
 * Looking at slots, without the lock.
 *
 * The order of the looks is what makes an answer of "found" true: the sidecar is read; then there
 * is no .copying, so what the sidecar stands for was complete; then the payload is a directory;
 * then the sidecar that was read still has a name, so nobody removed the slot in between and made
 * another one. A listing of the directory alone would race with all of that.
 */
#include "cache/store/lookup.h"

#include "cache/owner/owner_file.h"
#include "cache/store/own.h"
#include "cache/store/sidecar.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>

enum { REZ_STALLED_AFTER_S = 5 }; /* PackageCache._COPYING_TIME_MAX */

static double seconds_since(struct timespec time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec - clock_file_s(time)) +
           (double)(now.tv_nsec - time.tv_nsec) / NS_PER_S;
}

void slot_view_read(int hash_fd, const char *name, int sidecar_fd, struct slot_view *ret)
{
    char copying[SLOT_FILE_MAX];
    struct stat status;
    slot_copying_name(name, copying);
    *ret = (struct slot_view){.status = PKGCACHE_NOT_FOUND};
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    int result = names_stat(hash_fd, copying, &status);
    if (result < 0 && errno == EXDEV)
        return; /* who can tell whether it is whole? */
    if (result == 0) {
        ret->beat = status.st_mtim;
        ret->copying_inode = status.st_ino;
        ret->status = seconds_since(ret->beat) > REZ_STALLED_AFTER_S ? PKGCACHE_COPY_STALLED
                                                                     : PKGCACHE_COPYING;
        return;
    }
    bool whole = file_is_directory(hash_fd, name);
    if (fstat(sidecar_fd, &status) < 0 || status.st_nlink == 0 || !S_ISREG(status.st_mode))
        return;
    ret->last_used = status.st_mtim;
    ret->sidecar_inode = status.st_ino;
    ret->damaged = !whole;
    if (whole)
        ret->status = PKGCACHE_FOUND;
}

/* How much better one view of a handle's slot is than another. */
static int rank(const struct slot_view *view)
{
    switch (view->status) {
    case PKGCACHE_FOUND:
        return 4;
    case PKGCACHE_COPYING:
        return 3;
    case PKGCACHE_COPY_STALLED:
        return 2;
    default:
        return view->damaged;
    }
}

/* Whether sidecar and payload are ours. */
static bool is_own(int hash_fd, const char *name, int sidecar_fd)
{
    struct stat sidecar;
    struct stat payload;
    return fstat(sidecar_fd, &sidecar) == 0 && own_is_ours(&sidecar) &&
           (names_stat(hash_fd, name, &payload) < 0 || own_is_ours(&payload));
}

static int find(int hash_fd, const struct pkgcache_handle *handle, const char *not_this,
                bool own_only, bool touch, struct slot_view *ret)
{
    struct names names;
    int result = lseek(hash_fd, 0, SEEK_SET) < 0 ? -errno : 0;
    names_borrow(&names, hash_fd);
    *ret = (struct slot_view){.status = PKGCACHE_NOT_FOUND};
    for (const char *file;
         result == 0 && ret->status != PKGCACHE_FOUND && (file = names_next(&names));) {
        char name[SLOT_NAME_MAX];
        struct slot_view view;
        if (!slot_name_of_sidecar(file, name) || (not_this && strcmp(name, not_this) == 0))
            continue;
        CLEANUP_CLOSE int sidecar_fd = -1;
        if (!sidecar_holds(hash_fd, file, handle, &sidecar_fd) ||
            (own_only && !is_own(hash_fd, name, sidecar_fd)))
            continue;
        slot_view_read(hash_fd, name, sidecar_fd, &view);
        view.touch_refused =
            touch && view.status == PKGCACHE_FOUND && futimens(sidecar_fd, NULL) < 0;
        if (rank(&view) > rank(ret))
            *ret = view;
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

int slot_find(int hash_fd, const struct pkgcache_handle *handle, bool touch, struct slot_view *ret)
{
    return find(hash_fd, handle, NULL, false, touch, ret);
}

int slot_find_other(int hash_fd, const struct pkgcache_handle *handle, const char *not_this,
                    bool touch, struct slot_view *ret)
{
    return find(hash_fd, handle, not_this, false, touch, ret);
}

int slot_find_trusted(const struct pkgcache *cache, int hash_fd,
                      const struct pkgcache_handle *handle, bool touch, struct slot_view *ret)
{
    bool own_only = cache->options.own_only;
    *ret = (struct slot_view){.status = PKGCACHE_NOT_FOUND};
    if (own_only && !own_is_hash_directory_safe(cache, hash_fd))
        return 0;
    return find(hash_fd, handle, NULL, own_only, touch, ret);
}

bool slot_is_cached(const struct pkgcache *cache, const struct pkgcache_handle *handle)
{
    struct slot_view view;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    return hash_fd >= 0 && slot_find(hash_fd, handle, false, &view) == 0 &&
           view.status == PKGCACHE_FOUND;
}

bool slot_copier_is_gone(const struct pkgcache *cache, int hash_fd, const struct slot_view *view,
                         struct owner *ret_owner)
{
    char copying[SLOT_FILE_MAX];
    struct owner_file file;
    slot_copying_name(view->name, copying);
    *ret_owner = (struct owner){0};
    if (owner_file_find(hash_fd, copying, &cache->self, cache->options.stall_grace_s, &file) < 0 ||
        file.status.st_ino != view->copying_inode)
        return false; /* another one by now: look again */
    *ret_owner = file.owner;
    return file.state == OWNER_GONE || file.overdue;
}
