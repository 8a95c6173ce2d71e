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
#include "cache/store/size.h"
#include "cache/store/slot_name.h"

#include <sys/stat.h>

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

/**
 * Takes our own slot away, which is not to be finished; its payload goes to our staging directory,
 * and is deleted with that. The lock is held.
 *
 * @param staging_fd of this process's own staging directory
 * @param prefix     of the payload's name there
 * @return           0 or -errno
 */
int slot_discard(const struct lock *lock, const struct slot *slot, int staging_fd,
                 const char *prefix);

/** Takes a found slot away, so that no look-up ever sees half of it. The lock is held. */
int slot_remove(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                const char *name, const char *prefix);
