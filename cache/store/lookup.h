/*
 * Finds the slot of a handle, and the state of a slot, without the lock. lookup.c says why the
 * answers are right. Repeated look-ups go through recall.h first.
 */
#pragma once

#include "cache/store/cache.h"
#include "cache/store/slot_name.h"

/** A slot as other processes see it. */
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
 * Finds the slot of a handle, without the lock.
 *
 * @param hash_fd the hash directory
 * @param touch   record in the sidecar that the slot was used now, when it is found
 * @param ret     the best there is: found before copying before stalled before damaged
 * @return        0 or -errno
 */
int slot_find(int hash_fd, const struct pkgcache_handle *handle, bool touch, struct slot_view *ret);

/** As slot_find, for those who are going to use what is found: with the option own_only, ignores
 * what somebody else than root or this user can have put there (own.h). */
int slot_find_trusted(const struct pkgcache *cache, int hash_fd,
                      const struct pkgcache_handle *handle, bool touch, struct slot_view *ret);

/** Whether a handle is cached. Changes nothing, and counts nowhere. */
bool slot_is_cached(const struct pkgcache *cache, const struct pkgcache_handle *handle);

/**
 * As slot_find, but ignores one slot.
 *
 * @param not_this the name of the ignored slot; NULL: none
 */
int slot_find_other(int hash_fd, const struct pkgcache_handle *handle, const char *not_this,
                    bool touch, struct slot_view *ret);

/** Finds out the state of a slot whose sidecar was read from `sidecar_fd`. */
void slot_view_read(int hash_fd, const char *name, int sidecar_fd, struct slot_view *ret);

/**
 * Whether the process that fills this slot is gone: provably, or because there was no heartbeat for
 * the grace time. May take 20 ms: do not call it with the lock held.
 *
 * @param ret_owner the record of the copier, to wait for its end; pid 0: not known
 */
bool slot_copier_is_gone(const struct pkgcache *cache, int hash_fd, const struct slot_view *view,
                         struct owner *ret_owner);
