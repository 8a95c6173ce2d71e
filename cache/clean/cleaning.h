/*
 * One clean under way: what its parts share. clean.c drives it and deletes rubbish, evict.c removes
 * whole variants.
 */
#pragma once

#include "cache/clean/clean_state.h"
#include "cache/clean/inuse.h"

#include <pthread.h>

struct cleaning {
    struct pkgcache *cache;
    const struct pkgcache_clean *options;
    struct pkgcache_error *error;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
    bool inuse_found;     /* `inuse` is filled in; that takes a while, so only when it is needed */
    struct inuse inuse;
    struct clean_state state;
    uint64_t bytes_max; /* of all variants; UINT64_MAX: any number */
    bool is_cache;      /* no package definitions are in it, as far as was asked */
    bool walked;        /* all slots are done: now to_delete is cleaned again */
    bool has_records;   /* of use, beside the sidecars (used.h): there were some at the beginning */
    pthread_mutex_t lock; /* of all the above, while threads look at slots: who acts holds it */
};

/** Finds out what is in use, unless that was done before. */
const struct inuse *cleaning_find_inuse(struct cleaning *cleaning);

/**
 * Finds out what is in use, at a time when a look-up after `last_used` would have changed the
 * sidecar's mtime: a second or more after it. Waits for that time, and scans again where the last
 * scan was before it.
 *
 * @param last_used of a slot, as its sidecar tells
 */
const struct inuse *cleaning_find_inuse_since(struct cleaning *cleaning, struct timespec last_used);

/**
 * Makes sure, before something is deleted for what it looks like, that this is no repository of
 * packages, whose directories look like a cache's. Looks once.
 *
 * @return 0; -EINVAL: it is one, with the error set
 */
int cleaning_check_cache(struct cleaning *cleaning);

/** Takes the lock. @return 0 or -errno, with the error set */
int cleaning_take_lock(const struct cleaning *cleaning, struct lock **ret);

/** Calls on_kept, with the path DIRECTORY/NAME of the cache. */
void cleaning_report_kept(const struct cleaning *cleaning, const char *directory, const char *name,
                          const char *why, uint64_t bytes);

/**
 * Calls on_removed, with the path DIRECTORY/NAME of the cache.
 *
 * @param deleted it is gone; else it was taken out of the cache, and its bytes go by themselves. In
 *                a dry run both would be gone
 */
void cleaning_report_removed(const struct cleaning *cleaning, const char *directory,
                             const char *name, const char *why, uint64_t bytes, bool deleted);

/** Calls on_failed. */
void cleaning_report_failure(const struct cleaning *cleaning, const char *directory,
                             const char *name, const char *why);

/** When a clean that begins now is to end. @return as `deadline_ns` */
uint64_t cleaning_deadline(const struct pkgcache_clean *options);

enum { CLEANING_TIME_IS_OVER = 1 };

/** @return 0: go on; CLEANING_TIME_IS_OVER; or -ECANCELED, with the error set */
int cleaning_check(const struct cleaning *cleaning);
