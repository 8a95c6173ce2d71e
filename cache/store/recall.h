/*
 * Which slot a variant was found in last time, so that the next look-up of it need not open and
 * list the hash directory, nor read the sidecar: most of its system calls. Only a guess: everything
 * is looked at again, or watched, and whatever is not as it was is left to slot_find().
 */
#pragma once

#include "cache/store/lookup.h"

/** Where a variant is looked up again by the same process, its sidecar is touched unless that was
 * done within such a time. */
enum { RECALL_TOUCH_INTERVAL_MS = 1000 };

/** Remembers the slot of a variant, in the place of one that was remembered before. */
void recall_note(struct pkgcache *cache, const struct pkgcache_handle *handle,
                 const char *slot_name);

/**
 * Looks whether a variant is where it was.
 *
 * @param touch as for slot_find()
 * @param ret   what slot_find() would say; filled in when it is
 */
bool recall_find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 struct slot_view *ret);

/**
 * Has the directories watched of what is remembered from now on, so that looking it up again costs
 * no system call. For processes that look up all the time, and take the changes each time before
 * they do; the cache is on a local disk, or nothing happens. Each variant is one of the user's
 * inotify watches (fs.inotify.max_user_watches), and each package name; where there are no more, it
 * is looked up as before.
 */
void recall_watch(struct pkgcache *cache);

/**
 * Takes what was told of the directories that are watched. Look-ups after this know of whatever was
 * changed before it.
 */
void recall_take_changes(struct pkgcache *cache);

/** Forgets everything. */
void recall_free(struct pkgcache *cache);
