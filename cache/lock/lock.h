/*
 * The mutex of a cache directory, shared with rez. Held for the moments in which slots change
 * hands, never while anything is copied or flushed. A killed holder's lock is inherited by the next
 * of our processes, or broken when it was a rez that is provably dead.
 */
#pragma once

#include "cache/owner/owner.h"
#include "cache/util/error.h"

#include <stdbool.h>
#include <stdint.h>

/** A held lock. */
struct lock;

/** What is wanted. Zero what you do not use. */
struct lock_request {
    int sys_fd;                /* the `.sys` directory; must stay open while the lock is held */
    const char *cache_path;    /* of the cache, for messages */
    const struct owner *owner; /* this process, to save looking it up (20 us); NULL: look it up */
    uint64_t deadline_ns;      /* CLOCK_MONOTONIC; in the past: try once */
    bool (*cancelled)(void *); /* asked some 20 to 1,000 times a second of waiting; NULL: never */
    void *cancel_argument;
};

/**
 * Acquires the lock, against rez, other processes and other threads. Never fork while holding it:
 * the child would have part of it. (Starting a program with posix_spawn is fine.) A thread that
 * holds it and asks again waits for itself.
 *
 * A lock is broken only when its rez is provably dead, which takes a second look 20 ms later; that
 * may end up to that much after the deadline. A rez that has been waiting while our processes kept
 * the lock for more than half of the last 2 s is let in first, which takes up to 1.1 s of the time
 * to the deadline, but never makes the call fail.
 *
 * @param request  read during the call only, except that sys_fd must stay open
 * @param ret_lock receives the lock; the caller gives it to lock_release()
 * @param error    filled in on failure
 * @return         0; -ETIMEDOUT: the message names who holds it, the file, and what to do;
 *                 -ECANCELED: `cancelled` said so; -EOPNOTSUPP: the file system has no
 *                 open-file-description locks or no hard links; -EROFS, -EACCES, -ENOMEM, ...
 */
int lock_acquire(const struct lock_request *request, struct lock **ret_lock,
                 struct pkgcache_error *error);

/**
 * Whether the lock is still this one's. Ask before each rename or unlink of a slot: somebody may
 * have deleted the lock by hand, or, after a minute, for dead. If not, stop changing slots.
 */
bool lock_still_held(const struct lock *lock);

/** Whether the lock was inherited from one of our processes that died while it held it. */
bool lock_was_adopted(const struct lock *lock);

/**
 * Releases and frees the lock. A lock that is no longer ours is left alone.
 *
 * @param lock NULL is fine
 * @return     0; -ESTALE: it was taken away while it was held; or another -errno: .lock.lock could
 *             not be removed, which keeps rez out until one of our processes locks again
 */
int lock_release(struct lock *lock);

static inline void cleanup_lock(struct lock **lock)
{
    (void)lock_release(*lock);
}

/** Releases the lock when the variable goes out of scope. */
#define CLEANUP_LOCK __attribute__((cleanup(cleanup_lock)))
