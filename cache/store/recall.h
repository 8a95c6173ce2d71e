/*
 * Remembers in which slot a variant was found last time. The next look-up of it need not open and
 * list the hash directory, nor read the sidecar, which are most of its system calls. What is
 * remembered is only a guess: it is checked, or watched, and where anything has changed,
 * slot_find() looks the variant up.
 */
#pragma once

#include "cache/store/lookup.h"

/** A process that looks a variant up again touches its sidecar only when this time has passed since
 * the sidecar was touched last. */
enum { RECALL_TOUCH_INTERVAL_MS = 1000 };

/** Remembers the slot of a variant, instead of the one that was remembered before. */
void recall_note(struct pkgcache *cache, const struct pkgcache_handle *handle,
                 const char *slot_name);

/**
 * Finds a variant that is still where it was.
 *
 * @param touch as for slot_find()
 * @param ret   what slot_find() would say; filled in when it is
 */
bool recall_find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 struct slot_view *ret);

/**
 * Watches the directories of the variants that are remembered from now on, so that looking them up
 * again costs no system call. For processes that look up all the time, and call
 * recall_take_changes() before. Does nothing for a cache on a remote file system. Each variant and
 * each package name takes one of the user's inotify watches (fs.inotify.max_user_watches); where
 * there are none left, variants are looked up as without this call.
 */
void recall_watch(struct pkgcache *cache);

/**
 * Reads the changes that were reported of watched directories. Look-ups after this call know of
 * everything that was changed before it.
 */
void recall_take_changes(struct pkgcache *cache);

/** Forgets everything. */
void recall_free(struct pkgcache *cache);
