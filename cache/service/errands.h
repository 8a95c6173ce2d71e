/*
 * Threads that do one thing after the other, each with a cache of its own: what takes the lock, or
 * time, and must not hold up those who look up.
 */
#pragma once

#include "cache/service/shared_options.h"

#include <time.h>

struct errands;

/** Something to do. Lives in what wants it done. */
struct errand {
    /* Called by a thread, or by errands_stop. `cache` is NULL when it cannot be opened; `error`
     * then says why. */
    void (*run)(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error);
    /* Called by who takes what is done: answers, and frees it. */
    void (*done)(struct errand *errand);
    struct errand *next; /* private, or in a list of errands_take_done */
};

enum {
    ERRANDS_MAX = 256, /* that wait at once */
    ERRANDS_THREADS_MAX = 8,
};

/**
 * As copier_start.
 *
 * @param threads from 1 to ERRANDS_THREADS_MAX; with one, errands are done in order
 */
int errands_start(const char *path, struct shared_options *options, unsigned threads, int wake_fd,
                  struct errands **ret, struct pkgcache_error *ret_error);

/** Has something done. @return 0; -EBUSY: too much waits already; -ECANCELED: it was stopped */
int errands_add(struct errands *errands, struct errand *errand);

/** @return what is done since the last time, in order, linked by `next`; NULL: nothing */
struct errand *errands_take_done(struct errands *errands);

/** As copier_reload. */
void errands_reload(struct errands *errands, struct shared_options *options);

/** Readable as soon as errands_stop is called, for those that take long. */
int errands_stop_fd(const struct errands *errands);

/** Has the threads end. What waits is run at once, without a cache. */
void errands_stop(struct errands *errands);

/**
 * Waits for the end of threads that were told to stop.
 *
 * @param until by CLOCK_REALTIME
 * @return      whether all ended: then errands_free may be called
 */
bool errands_join(struct errands *errands, const struct timespec *until);

/** Frees errands that were stopped. NULL is allowed. */
void errands_free(struct errands *errands);
