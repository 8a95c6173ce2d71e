/*
 * What a node had received of a pack when the cast was ended for others' sake: kept for the next
 * attempt of the same run, which takes over what has the right digests. It lies in the directory of
 * the attempt, whose owner has ended: if none comes, the next warm or clean removes it.
 */
#pragma once

#include "cache/preload/farm_order.h"
#include "cache/store/cache.h"

#define PRELOAD_PACK_NAME "pack" /* what has arrived, as one file */

/** Truncates and removes what slurmd has left of a part. @param prefix of the names; "part-": all
 */
void preload_kept_remove_parts(int directory, const char *prefix);

/**
 * Takes the longest beginning of a pack that an earlier attempt of the run has left, and removes
 * all that such attempts have left.
 *
 * @param to        the directory of this attempt, in which no pack is yet
 * @param ret_fd    receives the pack, to append to; -1: nothing was kept
 * @param ret_parts receives how many of its parts are there, whole
 * @param ret_bytes receives their bytes
 */
void preload_kept_take(struct pkgcache *cache, const struct farm_pack *pack, int to, int *ret_fd,
                       size_t *ret_parts, uint64_t *ret_bytes);
