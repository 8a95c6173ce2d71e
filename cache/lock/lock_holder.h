/* Which process holds the private lock, for messages. */
#pragma once

#include "cache/owner/owner.h"

enum { LOCK_HOLDER_TEXT_MAX = 512 };

/**
 * Says who holds the private lock. The kernel tells of those processes that this user may ask about
 * (its own; root: all). Of others there is only what the file says, and all who use the cache can
 * write that: so the text says that it is from the file. Looks at all processes, which takes
 * milliseconds.
 *
 * @param fd   the lock's file
 * @param self this process
 * @param ret  receives "pkgcache on host ...", or "a process that ..."
 */
void lock_holder_describe(int fd, const struct owner *self, char ret[static LOCK_HOLDER_TEXT_MAX]);
