/* Repairing what is another user's, with that user's rights. */
#pragma once

#include "cache/verify/repair.h"

/** Repairs as root with the rights of a user. Each gets a result, or a reason. */
void repair_for(const struct pkgcache *cache, uid_t uid, struct repair *const *repairs,
                size_t count, int cancel_fd);
