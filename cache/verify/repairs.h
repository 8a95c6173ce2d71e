/* Which damaged payloads are repaired, and with whose rights. */
#pragma once

#include "cache/verify/repair.h"

/**
 * Repairs what can be repaired, and only what somebody vouches for: what is root's or this user's,
 * with this user's rights; as root also what is another user's, with that user's rights.
 *
 * @param cancel_fd readable: stop; -1: none
 * @return          0 when each has a result of its own; else as pkgcache_warm
 */
int repairs_run(struct pkgcache *cache, struct repair *repairs, size_t count, int cancel_fd,
                struct pkgcache_error *ret_error);
