/* Taking away, with the lock held, what is damaged where a variant is to be added. */
#pragma once

#include "cache/store/slot.h"

/**
 * Takes away what is no use to anybody in a hash directory, whosever it was: a sidecar that cannot
 * be read makes every look-up of rez's fail that comes across it, and a payload without one makes
 * rez's next add fail. What cannot be taken away (another user's) stays, and does no more harm than
 * before. Copies that stalled are not looked for here: that takes time, and they are in nobody's
 * way. The lock is held.
 *
 * @param prefix of the names in to_delete
 */
void heal_directory(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                    const char *prefix);
