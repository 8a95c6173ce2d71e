/*
 * Leases: a process says that it uses a slot, and clean leaves the slot alone until that process
 * ends. Files `.sys/leases/SLOT-PROCESS`: 16 hexadecimal digits for the slot (slot_key), 16 for
 * the process; the owner's record is inside. One process has one lease of a slot, however often it
 * asks, so no lock is needed to make or end one.
 */
#pragma once

#include "cache/store/cache.h"

/**
 * Whether there is a lease of a slot.
 *
 * @param slot  slot_key()
 * @param judge look whether its process is gone, which may take 20 ms; false: any lease counts.
 * With the lock held, false is right: those of the dead were deleted before
 */
bool lease_is_held(const struct pkgcache *cache, uint64_t slot, bool judge);

/**
 * Deletes the leases of processes that are gone, and those of processes that nobody here can see
 * (other machines, other pid namespaces) once they are 30 days old. Sleeps for 20 ms when there are
 * any.
 *
 * @param on_dead called for each, with its name; may be NULL
 * @param dry_run delete nothing
 * @return        0 or -errno
 */
int lease_clean(const struct pkgcache *cache, bool dry_run,
                void (*on_dead)(void *context, const char *name), void *context);
