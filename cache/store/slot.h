/*
 * Slots: the only code that makes, fills and takes away what stands in a hash directory.
 *
 * A slot is three names in one directory: INC (the payload), INC.json (the sidecar), .copying-INC
 * (there while the slot is no use yet). What may be done to it when, and why in that order, is
 * argued in slot.c.
 */
#pragma once

#include "cache/owner/owner.h"
#include "cache/store/cache.h"
#include "cache/store/sidecar.h"
#include "cache/store/size.h"

#include <stdio.h>
#include <sys/stat.h>

enum {
    SLOT_NAME_MAX = 247, /* with the NUL: ".copying-INC" is a file name, too */
    SLOT_FILE_MAX = 256, /* ".copying-INC" or "INC.json" */
    SLOT_PATH_MAX = 640, /* NAME/VERSION/HASH4/INC, with the NUL */
};

/** How the names of payloads begin that were taken out, and could not be moved to to_delete. */
#define SLOT_REMOVED_PREFIX ".removed"
#define SLOT_COPYING_PREFIX ".copying-"

static inline void slot_copying_name(const char *name, char buffer[static SLOT_FILE_MAX])
{
    snprintf(buffer, SLOT_FILE_MAX, SLOT_COPYING_PREFIX "%s", name);
}

static inline void slot_sidecar_name(const char *name, char buffer[static SLOT_FILE_MAX])
{
    snprintf(buffer, SLOT_FILE_MAX, "%s.json", name);
}

/**
 * What stands for a slot where there is no room for its path: leases' names, what is in use.
 *
 * @param directory NAME/VERSION/HASH4
 */
uint64_t slot_key(const char *directory, const char *name);

/** The slot that a sidecar's file name belongs to; false: it is no sidecar's name. */
bool slot_name_of_sidecar(const char *file_name, char ret[static SLOT_NAME_MAX]);

/** A slot as somebody else sees it. */
struct slot_view {
    enum pkgcache_status status; /* NOT_FOUND, FOUND, COPYING or COPY_STALLED */
    bool damaged;                /* a sidecar holds the handle, and neither payload nor copier */
    char name[SLOT_NAME_MAX];
    struct timespec last_used; /* the sidecar's mtime */
    ino_t sidecar_inode;
    bool touch_refused;   /* another user's: see used.h */
    struct timespec beat; /* of the copier */
    ino_t copying_inode;
};

/**
 * Looks for the slot of a handle, without the lock.
 *
 * @param hash_fd the hash directory
 * @param touch   record in the sidecar that it was used now, when it is found
 * @param ret     the best there is: found before copying before stalled before damaged
 * @return        0 or -errno
 */
int slot_find(int hash_fd, const struct pkgcache_handle *handle, bool touch, struct slot_view *ret);

/** Whether a handle is cached. Changes nothing, and counts nowhere. */
bool slot_is_cached(const struct pkgcache *cache, const struct pkgcache_handle *handle);

/**
 * As slot_find, but for one slot, which does not count.
 *
 * @param not_this the name of that; NULL: there is none
 */
int slot_find_other(int hash_fd, const struct pkgcache_handle *handle, const char *not_this,
                    bool touch, struct slot_view *ret);

/** What the state of a slot is whose sidecar was read from `sidecar_fd`. */
void slot_look(int hash_fd, const char *name, int sidecar_fd, struct slot_view *ret);

/**
 * Whether whoever fills this slot is gone: provably, or because there was no heartbeat for the
 * grace time. May take 20 ms: not to be called with the lock held.
 *
 * @param ret_owner the record of the copier, for waiting on its end; pid 0: not known
 */
bool slot_copier_is_gone(const struct pkgcache *cache, int hash_fd, const struct slot_view *view,
                         struct owner *ret_owner);

/** A slot that is ours to fill. */
struct slot {
    int hash_fd;
    int copying_fd; /* .copying-INC; while it is open, its inode number is not used again */
    int payload_fd; /* INC, the same */
    char name[SLOT_NAME_MAX];
    char record[OWNER_TEXT_MAX];
    char *sidecar_text;
};

/**
 * Reserves a slot: .copying-INC and INC, which nobody takes for anything yet. The lock is held.
 *
 * @param hash_fd      the hash directory; dup'ed
 * @param sidecar_text what the sidecar is going to say; copied
 * @param owner        of the slot
 * @param ret          the slot; given back with slot_free
 * @return             0 or -errno; nothing is left behind then
 */
int slot_reserve(int hash_fd, const char *sidecar_text, const struct owner *owner,
                 struct slot **ret);

/** Takes a reservation back that was not announced. The lock is held. */
void slot_withdraw(const struct slot *slot);

/**
 * Announces a reserved slot: from now on everybody sees that the variant is being copied. The lock
 * is held, nobody else has the variant, and the reservation is on disk if it must be.
 *
 * @param staged_sidecar its name in staging; renamed into the slot
 * @return               0; -ESTALE: the slot is lost; or -errno
 */
int slot_announce(const struct lock *lock, struct slot *slot, int staging_fd,
                  const char *staged_sidecar);

/** Whether the slot is still the one that we claimed. The lock is held. */
bool slot_is_ours(const struct slot *slot);

/**
 * Moves the copied tree into the slot. The lock is held, and the slot is ours.
 *
 * @return 0; -ESTALE: the slot is lost; -ENOTEMPTY: somebody wrote into it; or -errno
 */
int slot_place(const struct lock *lock, struct slot *slot, int staging_fd, const char *tree_name);

/** Gives the root of a placed payload what it lacked while it had to be renamed. @return as -errno
 */
int slot_set_root(const struct slot *slot, mode_t mode, struct timespec mtime);

/**
 * Makes the slot found: its payload is whole, and on disk if it must be. The lock is held.
 *
 * @param size of the payload, for the sidecar
 * @return 0; -ESTALE: the slot is lost; or -errno
 */
int slot_commit(const struct lock *lock, struct slot *slot, const struct size *size);

/** Makes what was done to the names of a slot survive a power cut. Without the lock. */
int slot_sync_names(const struct slot *slot);

/** Closes what a slot holds open and frees it; the slot itself stays as it is. NULL is allowed. */
void slot_free(struct slot *slot);

/**
 * Takes a slot away that is stalled, damaged, or our own and not to be finished. The lock is held.
 *
 * @param prefix of the payload's name in to_delete: the qualified name
 * @return       0 or -errno
 */
int slot_retire(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                const char *name, const char *prefix);

/** Takes a found slot away, so that no look-up ever sees half of it. The lock is held. */
int slot_remove(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                const char *name, const char *prefix);
