/*
 * The counters of a cache, kept in one file that all who use it share: `.sys/counters`. Counting
 * never waits, never fails, and costs a look-up a few nanoseconds; where the file may not be
 * written (another user's cache, a read-only one), nothing is counted. How that is done without a
 * lock is argued in stats.c. What the numbers look like to people is the command line's business.
 */
#pragma once

#include "cache/store/cache.h"

enum stats_counter {
    STATS_HITS,         /* look-ups that found the variant */
    STATS_MISSES,       /* look-ups that did not */
    STATS_WAITS,        /* variants that were waited for while another process copied them */
    STATS_COPIES,       /* variants that were copied into the cache */
    STATS_FILES,        /* of those */
    STATS_BYTES,        /* of those */
    STATS_COPY_NS,      /* how long that took; copies that ran side by side count once */
    STATS_FAILURES,     /* variants that could not be copied */
    STATS_SKIPPED,      /* variants that were refused */
    STATS_REMOVALS,     /* variants that somebody took out */
    STATS_EVICTED,      /* variants that clean took out, for their age or for room */
    STATS_CLEANS,       /* runs of clean */
    STATS_SHARED_FILES, /* that clean had share the blocks of equal ones */
    STATS_SHARED_BYTES, /* of those blocks */
    STATS_REUSED_FILES, /* of STATS_FILES: those whose contents another cached variant had */
    STATS_REUSED_BYTES, /* of STATS_BYTES, likewise */
    STATS_COUNT,        /* add new ones above: their places are the file's format */
};

enum { STATS_MAX = 31 }; /* so many have room in the file */

struct stats_totals {
    uint64_t since_s; /* seconds since the epoch: when counting began; 0: never */
    uint64_t counters[STATS_COUNT];
};

/** Adds to a counter. Written down after a second, a number of look-ups, or stats_close. */
void stats_add(struct pkgcache *cache, enum stats_counter counter, uint64_t amount);

/** Writes down what is not yet. */
void stats_flush(struct pkgcache *cache);

/** Writes down what is not yet, and frees what counting needs. */
void stats_close(struct pkgcache *cache);

/**
 * What all processes have counted, and have written down.
 *
 * @return 0, also where nothing was ever counted; or -errno
 */
int stats_read(struct pkgcache *cache, struct stats_totals *ret);

/** Begins to count anew, for everybody. @return 0 or -errno */
int stats_zero(struct pkgcache *cache);
