/*
 * When a variant was last used, where its sidecar is another user's to touch: the modification time
 * of a file in `.sys/used/` that is named for the sidecar's inode, and that everybody who uses the
 * cache may touch. Whoever asks takes the newer of both times. A sidecar that gets the number of
 * one that is gone is newer than its record. rez knows nothing of this: to it, such a variant is as
 * old as its sidecar.
 */
#pragma once

#include "cache/store/lookup.h"

/** Records that a variant was used now, if its sidecar could not be touched, and if that may be. */
void used_record(struct pkgcache *cache, const struct slot_view *view);

/** Whether there are any records. Mostly there are none, and nobody has to look for each variant's.
 */
bool used_has_records(const struct pkgcache *cache);

/** When a variant was last used, by whomever. */
struct timespec used_last(const struct pkgcache *cache, const struct slot_view *view);

/** Deletes records that are older than so many seconds, and so tell nothing any more. */
void used_clean(struct pkgcache *cache, uint64_t age_s);
