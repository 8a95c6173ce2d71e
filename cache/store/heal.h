/* Removes damaged slots where a variant is to be added. */
#pragma once

#include "cache/store/slot.h"

/**
 * Removes the damaged slots of a hash directory, whoever made them: an unreadable sidecar makes
 * each look-up by rez fail that reads it, and a payload without a sidecar makes the next add by rez
 * fail. A slot that this user may not remove stays, and does no more harm than before. Stalled
 * copies are left: to find them takes time, and they hinder nobody. The lock is held.
 *
 * @param prefix of the names that the slots get in to_delete
 */
void heal_directory(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                    const char *prefix);
