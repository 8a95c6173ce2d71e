/*
 * Which slot a variant was found in last time, so that the next look-up of it need not open and
 * list the hash directory, nor read the sidecar: most of its system calls. Only a guess: everything
 * is looked at again, and whatever is not as it was is left to slot_find().
 */
#pragma once

#include "cache/slot.h"

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

/** Forgets everything. */
void recall_free(struct pkgcache *cache);
