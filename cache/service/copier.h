/*
 * The thread that brings variants into the cache, all of them in one run that is fed
 * (cache/warm/run.h): so they share the engine, the lock and the flushes. While there is nothing to
 * do there is no run, and nothing is held open. Who asked for a variant is the business of jobs.h.
 */
#pragma once

#include "cache/service/shared_options.h"

#include <stdatomic.h>

struct addition;
struct copier;

/** How far a variant is. */
enum copy_state {
    COPY_QUEUED,
    COPY_CHECKING, /* its root is being looked at */
    COPY_WAITING,  /* for another process */
    COPY_COPYING,
    COPY_FLUSHING,
};

/** A variant on its way. Lives in what asked for it, from copier_add until copier_take_done. */
struct copy {
    struct pkgcache_variant variant; /* set before copier_add */
    bool reports_rootless;           /* the same; see warm_extras in cache/warm/run.h */
    dev_t source_device;             /* the same; the directory that its root must be, see there */
    ino_t source_inode;
    struct pkgcache_result result; /* when it is done; freed by whoever added it */
    struct copy *next;             /* in a list of copier_take_done */
    atomic_int state;              /* enum copy_state; this and the next are for anybody to read */
    atomic_ullong files;
    atomic_ullong bytes;
    atomic_bool cancelled; /* private, as all below */
    struct addition *addition;
    struct copy *newer; /* among those under way */
    struct copy *older;
};

/**
 * @param path    the cache, which exists
 * @param options of the cache; held by the copier as well from now on
 * @param wake_fd an eventfd(2) that is written to when something is done
 * @param ret     ended with copier_stop
 * @return        0 or -errno
 */
int copier_start(const char *path, struct shared_options *options, int wake_fd, struct copier **ret,
                 struct pkgcache_error *ret_error);

/** Has a variant copied. */
void copier_add(struct copier *copier, struct copy *copy);

/** Has one that was added end soon, as FAILED, unless it is as good as done. */
void copier_cancel(struct copier *copier, struct copy *copy);

/** @return those that are done since the last time, linked by `next`; NULL: none */
struct copy *copier_take_done(struct copier *copier);

/** From the next run on, the cache is used with these options, as for copier_start. */
void copier_reload(struct copier *copier, struct shared_options *options);

/**
 * Rolls back what is under way, and ends the thread, within a second or so, also when a source
 * hangs. Those that were not done have failed, and are still to be taken.
 */
void copier_stop(struct copier *copier);

/** Frees a copier that was stopped. NULL is allowed. */
void copier_free(struct copier *copier);
