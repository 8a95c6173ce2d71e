/*
 * What can never be served of rez's queue: files that hold no handle. They are moved aside, each
 * with its reason, so that somebody can look; the newest of them stay.
 */
#pragma once

#include "cache/store/cache.h"

#define POISON_DIRECTORY "poison" /* in .sys */

enum { POISON_MAX = 100 }; /* files that are kept, without those of their reasons */

/**
 * Moves a file aside, into `.sys/poison`, with the reason in a file beside it, and says so in the
 * log. If there are too many, the oldest is deleted.
 *
 * @param dirfd where it lies
 * @param why   the reason
 * @return      0; -ENOENT: it is gone; or -errno
 */
int poison_set_aside(struct pkgcache *cache, int dirfd, const char *name, const char *why);
