/*
 * Slots: claimed, filled, committed, taken away.
 *
 * What makes a payload visible is the sidecar that holds its handle, together with the absence of
 * `.copying-INC`. So the order of all steps follows from one rule: whenever a sidecar is there,
 * either `.copying-INC` is there too, or the payload is whole.
 *
 *   reserve   .copying, INC; then both go to disk. Without that, Btrfs shows the sidecar without
 *             them after a power cut: the variant is found, and its payload is empty. The flush
 *             is done without the lock and for many slots at once, so that other processes do not
 *             wait for the disk when they take the lock.
 *   announce  the sidecar is renamed into the slot, after a second check that no other process has
 *             announced the same variant meanwhile.
 *   place     the copied tree is renamed over INC, which is empty: rename(2) does both or neither.
 *   commit    .copying goes, last of all.
 *   retire    sidecar, payload, .copying, in this order: a look-up in between finds no sidecar, or
 *             a slot that is being copied.
 *   remove    .copying is made again first, so that the rest of a killed removal has an owner that
 *             is known to be dead; then as in retire.
 *
 * A slot is proven to be ours before each change: another process may have taken us for dead and
 * taken the slot, and a rez that wakes after a pause writes into names that it chose long ago. The
 * open descriptors rule out that an inode number was used again. The record and the sidecar's text
 * rule out that a rez truncated and rewrote the same inodes (rez opens both in place).
 */
#include "cache/store/slot.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/own_directory.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>

/* Makes .copying-INC, with its owner's record inside. */
static int make_copying(int hash_fd, const char *name, const char *record, int *ret_fd)
{
    char copying[SLOT_FILE_MAX];
    slot_copying_name(name, copying);
    return file_make(hash_fd, copying, record, ret_fd);
}

/* rename(2) that replaces nothing, where the file system can promise that. */
static int rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    return renameat(from_fd, from, to_fd, to) < 0 ? -errno : 0;
}

void slot_withdraw(const struct slot *slot)
{
    char copying[SLOT_FILE_MAX];
    slot_copying_name(slot->name, copying);
    assert(slot->hash_fd >= 0 && *slot->name);
    unlinkat(slot->hash_fd, slot->name, AT_REMOVEDIR);
    unlinkat(slot->hash_fd, copying, 0);
}

static int make_payload(struct slot *slot)
{
    if (mkdirat(slot->hash_fd, slot->name, 0777) < 0)
        return -errno;
    assert(slot->payload_fd < 0);
    slot->payload_fd = names_open_directory(slot->hash_fd, slot->name);
    return slot->payload_fd < 0 ? -errno : 0;
}

int slot_reserve(int hash_fd, const char *sidecar_text, const struct owner *owner,
                 struct slot **ret)
{
    assert(hash_fd >= 0);
    struct slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return -ENOMEM;
    slot->copying_fd = slot->payload_fd = -1;
    slot->hash_fd = fcntl(hash_fd, F_DUPFD_CLOEXEC, 0);
    slot->sidecar_text = strdup(sidecar_text);
    int result = slot->hash_fd < 0 ? -errno : slot->sidecar_text ? 0 : -ENOMEM;
    owner_format(owner, slot->record);
    if (result == 0)
        result = slot_name_choose(hash_fd, slot->name);
    if (result == 0)
        result = make_copying(hash_fd, slot->name, slot->record, &slot->copying_fd);
    if (result == 0) {
        result = make_payload(slot);
        if (result < 0)
            slot_withdraw(slot);
    }
    if (result < 0) {
        slot_free(slot);
        return result;
    }
    assert(slot->copying_fd >= 0 && slot->payload_fd >= 0 && slot_name_is_valid(slot->name));
    *ret = slot;
    return 0;
}

void slot_free(struct slot *slot)
{
    if (!slot)
        return;
    cleanup_close_fd(&slot->hash_fd);
    cleanup_close_fd(&slot->copying_fd);
    cleanup_close_fd(&slot->payload_fd);
    free(slot->sidecar_text);
    free(slot);
}

/* Whether a name is, alone, the file that `fd` has open. */
static bool is_name_of_file(int dirfd, const char *name, int fd, bool single_link)
{
    struct stat named;
    struct stat opened;
    return names_stat(dirfd, name, &named) == 0 && fstat(fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino &&
           (!single_link || named.st_nlink == 1);
}

/* Whether a file says exactly `text`. */
static bool file_has_text(int fd, const char *text)
{
    size_t length = strlen(text);
    CLEANUP_FREE char *buffer = malloc(length + 1);
    return fd >= 0 && buffer && pread(fd, buffer, length + 1, 0) == (ssize_t)length &&
           memcmp(buffer, text, length) == 0;
}

/* Whether a reserved slot is still ours. */
static bool is_reserved(const struct slot *slot)
{
    char copying[SLOT_FILE_MAX];
    assert(slot->hash_fd >= 0 && slot->copying_fd >= 0 && slot->payload_fd >= 0); /* reserved */
    slot_copying_name(slot->name, copying);
    return is_name_of_file(slot->hash_fd, copying, slot->copying_fd, true) &&
           file_has_text(slot->copying_fd, slot->record) &&
           is_name_of_file(slot->hash_fd, slot->name, slot->payload_fd, false);
}

int slot_announce(const struct lock *lock, struct slot *slot, int staging_fd,
                  const char *staged_sidecar)
{
    char sidecar[SLOT_FILE_MAX];
    slot_sidecar_name(slot->name, sidecar);
    if (!is_reserved(slot) || !lock_still_held(lock))
        return -ESTALE;
    return rename_new(staging_fd, staged_sidecar, slot->hash_fd, sidecar);
}

bool slot_is_ours(const struct slot *slot)
{
    char sidecar[SLOT_FILE_MAX];
    slot_sidecar_name(slot->name, sidecar);
    if (!is_reserved(slot))
        return false;
    CLEANUP_CLOSE int fd = file_open(slot->hash_fd, sidecar, O_RDONLY | O_NOFOLLOW);
    return file_has_text(fd, slot->sidecar_text);
}

int slot_place(const struct lock *lock, struct slot *slot, int staging_fd, const char *tree_name)
{
    CLEANUP_CLOSE int tree_fd = names_open_directory(staging_fd, tree_name);
    if (tree_fd < 0)
        return -errno;
    if (!slot_is_ours(slot) || !lock_still_held(lock))
        return -ESTALE;
    if (renameat(staging_fd, tree_name, slot->hash_fd, slot->name) < 0) {
        /* ext4 and Btrfs say ENOTEMPTY, XFS EEXIST: somebody wrote into INC */
        return errno == EEXIST ? -ENOTEMPTY : -errno;
    }
    close(slot->payload_fd);
    slot->payload_fd = steal_fd(&tree_fd);
    assert(slot->payload_fd >= 0);
    return 0;
}

int slot_set_root(const struct slot *slot, mode_t mode, struct timespec mtime)
{
    struct timespec times[2] = {{0}, mtime}; /* both: see engine/attr.c */
    assert(slot->payload_fd >= 0);
    clock_gettime(CLOCK_REALTIME_COARSE, &times[0]);
    if (fchmod(slot->payload_fd, mode) < 0)
        return -errno;
    (void)futimens(slot->payload_fd, times); /* a time is not worth a payload */
    return 0;
}

int slot_commit(const struct lock *lock, struct slot *slot, const struct size *size)
{
    char copying[SLOT_FILE_MAX];
    char sidecar[SLOT_FILE_MAX];
    slot_copying_name(slot->name, copying);
    slot_sidecar_name(slot->name, sidecar);
    if (!slot_is_ours(slot) || !lock_still_held(lock))
        return -ESTALE;
    CLEANUP_CLOSE int fd = file_open(slot->hash_fd, sidecar, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0)
        size_keep(fd, size); /* where that is possible: else it is counted when it is needed */
    return unlinkat(slot->hash_fd, copying, 0) < 0 ? -errno : 0;
}

int slot_sync_names(const struct slot *slot)
{
    return fsync(slot->hash_fd) < 0 ? -errno : 0;
}

/*
 * Moves a payload to where clean deletes it. An empty one is removed at once. What lies in the
 * lower layer of an overlay cannot be moved (EXDEV): that stays, and is found no more once its
 * sidecar is gone. clean deletes it where it is. The same goes for a payload that something is
 * mounted on (EBUSY), once that is unmounted.
 */
static int move_to_trash(int trash_fd, int hash_fd, const char *name, const char *prefix)
{
    char trash_name[NAME_MAX + 1];
    if (unlinkat(hash_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    cache_unique_name(prefix, trash_name, sizeof(trash_name));
    if (renameat(hash_fd, name, trash_fd, trash_name) == 0 || errno == ENOENT)
        return 0;
    int code = errno;
    /* a directory without write permission cannot change its parent (path_resolution(7)) */
    if (code == EACCES && own_directory_add_mode(hash_fd, name, S_IRWXU) == 0) {
        if (renameat(hash_fd, name, trash_fd, trash_name) == 0)
            return 0;
        code = errno;
    }
    if (code != EACCES && code != EPERM)
        return -code;
    /*
     * Another user owns it, and only he may move it to another directory. It gets a name that
     * look-ups ignore, and waits for his clean.
     */
    cache_unique_name(SLOT_REMOVED_PREFIX, trash_name, sizeof(trash_name));
    return renameat(hash_fd, name, hash_fd, trash_name) == 0 ? 0 : -code;
}

/* Removes a sidecar or a .copying. Moves it away when a directory has its name. */
static int unlink_if_there(int trash_fd, int hash_fd, const char *file, const char *prefix)
{
    if (unlinkat(hash_fd, file, 0) == 0 || errno == ENOENT)
        return 0;
    return errno == EISDIR || errno == EPERM ? move_to_trash(trash_fd, hash_fd, file, prefix)
                                             : -errno;
}

/* Takes a slot away; what has to be deleted later is moved to this directory. */
static int retire_to(int trash_fd, const struct lock *lock, int hash_fd, const char *name,
                     const char *prefix)
{
    char copying[SLOT_FILE_MAX];
    char sidecar[SLOT_FILE_MAX];
    assert(hash_fd >= 0 && *name && !strchr(name, '/'));
    slot_copying_name(name, copying);
    slot_sidecar_name(name, sidecar);
    if (!lock_still_held(lock))
        return -ESTALE;
    int result = unlink_if_there(trash_fd, hash_fd, sidecar, prefix);
    if (result == 0)
        result = move_to_trash(trash_fd, hash_fd, name, prefix);
    if (result == -EXDEV || result == -EBUSY)
        result = 0; /* see move_to_trash */
    if (result == 0)
        result = unlink_if_there(trash_fd, hash_fd, copying, prefix);
    return result;
}

int slot_retire(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                const char *name, const char *prefix)
{
    return retire_to(cache->trash_fd, lock, hash_fd, name, prefix);
}

int slot_discard(const struct lock *lock, const struct slot *slot, int staging_fd,
                 const char *prefix)
{
    return retire_to(staging_fd, lock, slot->hash_fd, slot->name, prefix);
}

/*
 * Takes the sidecar away by a rename, then the payload. An unlink would do on other file systems
 * than Btrfs. When a directory was flushed a moment ago, the log of Btrfs gets a rename out of it
 * at once, but an unlink only with the next flush. If another process flushes something in between
 * and the power fails then, the sidecar would be back without its payload.
 */
static int move_slot_to_trash(const struct pkgcache *cache, int hash_fd, const char *name,
                              const char *prefix)
{
    char sidecar[SLOT_FILE_MAX];
    char aside[NAME_MAX + 1];
    slot_sidecar_name(name, sidecar);
    cache_unique_name(prefix, aside, sizeof(aside));
    if (renameat(hash_fd, sidecar, cache->trash_fd, aside) < 0 && errno != ENOENT &&
        (errno != EXDEV || unlinkat(hash_fd, sidecar, 0) < 0))
        return -errno;
    int result = move_to_trash(cache->trash_fd, hash_fd, name, prefix);
    if (result == -EXDEV || result == -EBUSY)
        result = 0; /* see move_to_trash */
    if (result < 0)
        rename_new(cache->trash_fd, aside, hash_fd, sidecar);
    else
        unlinkat(cache->trash_fd, aside, 0);
    return result;
}

int slot_remove(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                const char *name, const char *prefix)
{
    char copying[SLOT_FILE_MAX];
    char record[OWNER_TEXT_MAX];
    assert(hash_fd >= 0 && *name && !strchr(name, '/'));
    slot_copying_name(name, copying);
    owner_format(&cache->self, record);
    CLEANUP_CLOSE int fd = -1;
    int result = make_copying(hash_fd, name, record, &fd);
    if (result == -ENOSPC || result == -EDQUOT) /* a full disk must be possible to clean */
        return slot_retire(cache, lock, hash_fd, name, prefix);
    if (result < 0)
        return result;
    result = lock_still_held(lock) ? move_slot_to_trash(cache, hash_fd, name, prefix) : -ESTALE;
    if (result < 0) { /* we may not remove it: look-ups are to find it again */
        if (is_name_of_file(hash_fd, copying, fd, true))
            unlinkat(hash_fd, copying, 0);
        return result;
    }
    return unlink_if_there(cache->trash_fd, hash_fd, copying, prefix);
}
