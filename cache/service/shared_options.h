/*
 * Options of a cache that own their strings, and are shared by all who open the cache with them.
 * They never change: a reload makes others, and those that nobody holds any more are freed. So a
 * thread may open the cache while the settings are read again.
 */
#pragma once

#include "cache/pkgcache.h"

#include <stdatomic.h>

struct shared_options {
    struct pkgcache_options options; /* the strings follow this */
    atomic_uint holders;             /* private */
};

/** @return a copy, held once; NULL: out of memory */
struct shared_options *shared_options_new(const struct pkgcache_options *options);

/** Holds them once more. From any thread that holds them, or under a lock of who does. @return them
 */
struct shared_options *shared_options_hold(struct shared_options *shared);

/** Ends one hold; the last frees them. NULL is allowed. */
void shared_options_release(struct shared_options *shared);

/** Has a holder hold these instead of others, which are released. */
void shared_options_replace(struct shared_options **held, struct shared_options *by);

static inline void shared_options_cleanup(struct shared_options **shared)
{
    shared_options_release(*shared);
}

#define CLEANUP_SHARED_OPTIONS __attribute__((cleanup(shared_options_cleanup)))
