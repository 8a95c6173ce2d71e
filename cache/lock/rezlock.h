/*
 * A lock that a rez process holds: which process that is, and whether it is provably dead. Nothing
 * is changed here; lock.c breaks the lock, if at all.
 */
#pragma once

#include "cache/util/error.h"
#include "cache/util/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/** The mutex that is shared with rez, and our own lock file; both directly in `.sys`. */
#define LOCK_PUBLIC_NAME  ".lock.lock"
#define LOCK_PRIVATE_NAME "pkgcache.lock"

enum {
    REZLOCK_PIDS_MAX = 7, /* ways to split PIDHASH: a pid has at most 7 digits */
    REZLOCK_HOST_MAX = 64,
    REZLOCK_NAME_MAX = 255,
    REZLOCK_AGE_MIN_S = 2,           /* younger locks are not judged */
    REZLOCK_NAMELESS_AGE_MIN_S = 60, /* nor those in the middle of a release */
};

/** The name of a rez's unique file, HOST-TID.PIDHASH, taken apart. */
struct rezlock_name {
    char host[REZLOCK_HOST_MAX + 1];
    uint32_t thread;
    size_t pid_count;
    pid_t pids[REZLOCK_PIDS_MAX]; /* what the pid can be, shortest first; one if HASH is negative */
};

/** A lock as rezlock_read() found it. */
struct rezlock {
    struct stat status;              /* of .lock.lock */
    char name[REZLOCK_NAME_MAX + 1]; /* its other name in .sys; "": none found */
    struct rezlock_name parsed;      /* when is_rez */
    bool is_rez;                     /* the other name is one that rez makes */
};

/** What time it is, and what may be concluded from it. */
struct rezlock_clock {
    int64_t now_ns;  /* wall clock, since the epoch */
    int64_t boot_ns; /* wall-clock time of boot */
    int64_t seen_ns; /* how long we have been watching this very lock */
    bool was_set;    /* somebody set the wall clock: file times and start times don't compare */
    const char *hostname; /* of this machine */
};

enum rezlock_verdict {
    REZLOCK_DEAD,     /* nobody holds it any more */
    REZLOCK_YOUNG,    /* dead as it seems, but too young to say */
    REZLOCK_ALIVE,    /* its process, or one that could be it, runs */
    REZLOCK_REMOTE,   /* of another host */
    REZLOCK_NAMELESS, /* rez is inside its release, or was killed there less than 60 s ago */
    REZLOCK_UNKNOWN   /* not made by rez, nor by us */
};

/**
 * Takes the name of a unique file apart.
 *
 * @param name     HOST-TID.PIDHASH; TID in hexadecimal, PID in decimal, HASH a signed 64-bit
 * decimal with no separator before it
 * @param ret_name filled in on success
 * @return         whether rez makes such names, and PIDHASH can be split in at least one way
 */
bool rezlock_parse_name(const char *name, struct rezlock_name *ret_name);

/**
 * Reads the lock and who holds it. Takes no lock, so the answer was true a moment ago.
 *
 * @param sys_fd   the `.sys` directory
 * @param ret_lock filled in on success
 * @return         0; -ENOENT: there is no lock; or another -errno
 */
int rezlock_read(int sys_fd, struct rezlock *ret_lock);

/** Whether two readings are of the same lock: nobody released or took it in between. */
bool rezlock_is_same(const struct rezlock *one, const struct rezlock *other);

/**
 * Judges a lock. REZLOCK_DEAD must be found twice, 20 ms apart, before it may be broken.
 *
 * @param sys_fd the `.sys` directory
 * @param lock   from rezlock_read()
 */
enum rezlock_verdict rezlock_judge(int sys_fd, const struct rezlock *lock,
                                   const struct rezlock_clock *clock);

/**
 * Whether a rez is waiting for the lock just now: it made its unique file in the last 15 s (it
 * gives up after 10), and has no lock yet.
 *
 * @param sys_fd the `.sys` directory
 */
bool rezlock_is_awaited(int sys_fd);

/**
 * Whether a file in `.sys` is the unique file of a rez that was killed while it waited for the
 * lock: older than 60 s, of this host, and of no process that runs. (rez waits for 10 s at most.)
 */
bool rezlock_was_left(int sys_fd, const char *name, const struct rezlock_clock *clock);

/**
 * Says who holds a lock, and what to do about it.
 *
 * @param holder receives "held for ... by ..."
 * @param advice receives what to do, in whole sentences
 */
void rezlock_describe(const struct rezlock *lock, enum rezlock_verdict verdict,
                      const struct rezlock_clock *clock, struct text *holder, struct text *advice);

/**
 * Fills in an error that says who holds a lock, and what to do about it.
 *
 * @param cache_path of the cache, for the message
 * @param waited_ns  how long the caller waited for it
 * @param error      filled in
 * @return           -ETIMEDOUT
 */
int rezlock_timeout(const struct rezlock *lock, enum rezlock_verdict verdict,
                    const struct rezlock_clock *clock, const char *cache_path, uint64_t waited_ns,
                    struct pkgcache_error *error);
