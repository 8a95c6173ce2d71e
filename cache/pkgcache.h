/*
 * libpkgcache: a cache of package payloads on local disk, in a directory shared with rez.
 *
 * A payload is published whole or not at all. Any number of processes, ours and rez's, may use one
 * cache at once. docs/library.md shows how programs use this; here is what each call promises.
 *
 * Results. A call returns 0 or what it documents, or -errno. On failure it fills in `ret_error`,
 * which may be NULL everywhere; on success it leaves it alone. The library prints nothing, and
 * never exits.
 *
 * Structures that begin with `size` may grow at their end. Set `size` to their sizeof and the rest
 * to zero: a member that you do not set has its default, in this version and in later ones. The
 * elements of arrays (struct pkgcache_variant, struct pkgcache_result) may grow, too: the caller
 * says how large his are beside the array. Structures that a callback receives are made by the
 * library and may grow at their end: read them, and do not copy or allocate them. All others stay
 * as they are until the soname changes.
 *
 * Threads. Any number of threads may look up with one `struct pkgcache` at the same time
 * (pkgcache_get, pkgcache_get_into, pkgcache_get_many, pkgcache_list, pkgcache_stats,
 * pkgcache_path), also while another thread changes the cache. Only one thread at a time may change
 * it, with any other call that takes a `struct pkgcache`, pkgcache_lease, pkgcache_release and
 * pkgcache_backend_description included. A thread that wants to change it at the same time opens
 * the cache again, which costs a few system calls. Handles never change: any number of threads may
 * use one. A child of fork(2) opens a cache of its own.
 */
#pragma once

#include "copyengine.h" /* installed beside this one, as is the next */
#include "pkgcache_handle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both libraries are of one project, and have one version. To compare: 1.2.3 is 10203. */
#define PKGCACHE_VERSION        COPYENGINE_VERSION
#define PKGCACHE_VERSION_MAJOR  COPYENGINE_VERSION_MAJOR
#define PKGCACHE_VERSION_MINOR  COPYENGINE_VERSION_MINOR
#define PKGCACHE_VERSION_PATCH  COPYENGINE_VERSION_PATCH
#define PKGCACHE_VERSION_STRING COPYENGINE_VERSION_STRING

struct pkgcache;

/** @return PKGCACHE_VERSION of the library that runs */
PKGCACHE_PUBLIC int pkgcache_version(void);

/** Where a variant stands, or what became of it. 0 to 7 are rez's numbers; more may be added. */
enum pkgcache_status {
    PKGCACHE_NOT_FOUND = 0,
    PKGCACHE_FOUND = 1,
    PKGCACHE_CREATED = 2,
    PKGCACHE_COPYING = 3,
    PKGCACHE_COPY_STALLED = 4,
    PKGCACHE_PENDING = 5,
    PKGCACHE_REMOVED = 6,
    PKGCACHE_SKIPPED = 7,
    PKGCACHE_FAILED = 8,
};

/**
 * What people call a status: "missing", "cached", "created", "copying", "stalled", "pending",
 * "removed", "skipped" or "failed".
 *
 * @return one word, static; "unknown" for a status of a newer library
 */
PKGCACHE_PUBLIC const char *pkgcache_status_name(enum pkgcache_status status);

/** What survives a power cut. */
enum pkgcache_durability {
    PKGCACHE_DURABILITY_BATCH, /* whole or absent; one flush for all that are ready */
    PKGCACHE_DURABILITY_EACH,  /* the same; one flush each */
    PKGCACHE_DURABILITY_NONE,  /* nothing is promised */
};

struct pkgcache_options {
    size_t size; /* sizeof(struct pkgcache_options) */
    enum pkgcache_durability durability;
    enum copyengine_symlinks symlinks;
    enum copyengine_backend backend; /* this and the next three as in struct copyengine_options */
    unsigned in_flight;
    uint64_t bytes_per_s;
    bool idle_priority;
    bool report_stalled;     /* leave stalled copies alone, as rez does, and take none over */
    unsigned stall_grace_s;  /* a copy whose process may live is stalled after this long without a
                                heartbeat; default: 60 */
    unsigned lock_timeout_s; /* how long to wait for the cache's lock; default: 10 */
    bool refuse_same_device; /* do not cache what lies on the cache's own file system */
    bool no_digests;         /* take none while copying, and write no manifests */
    /* No copy is begun while less than the buffer is free on the cache's file system. When more of
       the file system is used than the threshold, a copy is also stopped before it leaves less.
       0: copies may fill it. */
    uint64_t space_buffer_bytes;
    unsigned used_threshold_percent;
    /* Packages below these are not cached; NULL: there is none. The strings are copied. */
    const char *local_packages_path; /* the repository of local packages */
    const char *temporary_path;      /* what has temporary repositories below it */
    bool own_only; /* pkgcache_get and its like find only what root or this user has cached, where
                      nobody else can replace it: all directories on the way from the cache's own to
                      the payload belong to root or this user, and others may at most add to them */
    bool no_reuse; /* fetch also those files whose contents a cached variant of the same package has
                    */
    bool no_manifests; /* walk also those sources whose publisher wrote down what is in them */
};

/**
 * Opens a cache.
 *
 * @param path    its directory
 * @param options NULL: the defaults
 * @param create  make the directory (that one only) when it is missing
 * @param ret     the cache; the caller ends it with pkgcache_close
 * @return        0; -EINVAL (options), -ENOENT, -ENOTDIR, -EACCES, -EROFS, …
 */
PKGCACHE_PUBLIC int pkgcache_open(const char *path, const struct pkgcache_options *options,
                                  bool create, struct pkgcache **ret,
                                  struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 4) PKGCACHE_CHECKED;

/** Closes a cache that no thread uses any more. NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_close(struct pkgcache *cache);

/** @return the cache's directory, absolute; belongs to the cache */
PKGCACHE_PUBLIC const char *pkgcache_path(const struct pkgcache *cache) PKGCACHE_NONNULL(1);

/** @return which backend copies and why, for people; the cache's; NULL before the first copy */
PKGCACHE_PUBLIC const char *pkgcache_backend_description(const struct pkgcache *cache)
    PKGCACHE_NONNULL(1);

/**
 * Finds a variant. Takes no lock. A variant is found only when its payload is there whole.
 *
 * @param touch      record that the variant was used now
 * @param ret_root   the payload's path, which the caller frees with free(3); NULL when the variant
 *                   is not found
 * @param ret_status may be NULL; FOUND, NOT_FOUND, COPYING or COPY_STALLED
 * @return           1: it is found; 0: it is not, or not yet; -errno
 */
PKGCACHE_PUBLIC int pkgcache_get(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                 bool touch, char **ret_root, enum pkgcache_status *ret_status,
                                 struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 4) PKGCACHE_CHECKED;

/**
 * Finds a variant as pkgcache_get does, and allocates nothing.
 *
 * @param buffer receives the payload's path; "" when the variant is not found
 * @param size   of the buffer in bytes; PATH_MAX is always enough
 * @return       as pkgcache_get; -ENAMETOOLONG: the path does not fit
 */
PKGCACHE_PUBLIC int pkgcache_get_into(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                      bool touch, char *buffer, size_t size,
                                      enum pkgcache_status *ret_status,
                                      struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 4) PKGCACHE_CHECKED;

/**
 * Finds a variant as pkgcache_get does, and leases it: pkgcache_clean keeps it until a process
 * ends. The lease names the process by its id and start time, and ends with it, so nothing has to
 * be given back. A process needs one lease of a variant only. pkgcache_remove removes a variant
 * although it is leased. Takes the cache's lock, unless the variant is not found.
 *
 * @param pid        the process, as this process counts them: 1 to INT_MAX
 * @param ret_root   as for pkgcache_get
 * @param ret_status as for pkgcache_get
 * @return           as for pkgcache_get; -ESRCH: there is no such process; -EACCES: it cannot be
 *                   identified, or leases cannot be written here; -ETIMEDOUT: the lock
 */
PKGCACHE_PUBLIC int pkgcache_lease(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                   pid_t pid, char **ret_root, enum pkgcache_status *ret_status,
                                   struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 4) PKGCACHE_CHECKED;

/**
 * Ends the lease of a variant before its process ends. Takes no lock.
 *
 * @return 0, also when there was none; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_release(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                     pid_t pid, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2);

/** A variant to be cached: an element of an array whose variant_size says how large it is. */
struct pkgcache_variant {
    const struct pkgcache_handle *handle;
    const char *root; /* the payload at its source, absolute */
    bool force;       /* cache it although the options say not to; it needs free space all the
                         same */
    enum copyengine_priority priority; /* variants with a higher priority are copied first, and
                                          faster; each is copied in the end */
    const char *requires_json;         /* rez's list of its requirements, as JSON, which the sidecar
                                          keeps for people; NULL: none */
};

/** Something that a copy left out, or copied otherwise than it was: an extended attribute that the
 * cache's file system refuses, a socket. This structure never grows. */
struct pkgcache_warning {
    char *path; /* at the source */
    char *text;
};

/**
 * What became of one variant: an element of an array whose result_size says how large it is. The
 * caller frees the strings with pkgcache_results_free.
 */
struct pkgcache_result {
    enum pkgcache_status status;
    char *root;     /* of the cached payload; NULL when there is none */
    char *reason;   /* why there is none, for people; NULL when there is nothing to say */
    uint64_t files; /* copied for it */
    uint64_t bytes;
    struct pkgcache_warning *warnings; /* what its copy left out, or copied otherwise */
    size_t warning_count;
    /* Of `files` and `bytes`; more names of a file (hard links) are in neither: */
    uint64_t fetched_files; /* from the source */
    uint64_t fetched_bytes;
    uint64_t reused_files; /* from another cached variant, which had their contents */
    uint64_t reused_bytes;
};

/**
 * Frees the strings of results, and sets the results to zero. The array stays the caller's.
 *
 * @param result_size sizeof(struct pkgcache_result)
 */
PKGCACHE_PUBLIC void pkgcache_results_free(struct pkgcache_result *results, size_t result_size,
                                           size_t count);

/**
 * Finds many variants: calls pkgcache_get for each, and is no faster than that. A look-up that
 * fails does not stop the others.
 *
 * @param handles     in any order; one may be named several times
 * @param touch       record that the variants that are found were used now
 * @param results     one for each handle, in the same order; filled in whatever happens but
 *                    -EINVAL: NOT_FOUND, FOUND, COPYING, COPY_STALLED or FAILED
 * @param result_size sizeof(struct pkgcache_result)
 * @return            0; -EINVAL (result_size); or -errno of the first that FAILED
 */
PKGCACHE_PUBLIC int pkgcache_get_many(struct pkgcache *cache,
                                      const struct pkgcache_handle *const *handles, size_t count,
                                      bool touch, struct pkgcache_result *results,
                                      size_t result_size, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1) PKGCACHE_CHECKED;

/** How far a warm, or a verify, has got. */
struct pkgcache_progress {
    size_t variants;
    size_t variants_done;
    uint64_t files;
    uint64_t bytes;
    uint64_t files_total; /* of all that is copied; 0: not known yet */
    size_t current;       /* the first variant that is being copied, counted from 1; 0: none, or not
                             known */
};

struct pkgcache_warm {
    size_t size; /* sizeof(struct pkgcache_warm) */
    const struct pkgcache_variant *variants;
    size_t variant_size; /* sizeof(struct pkgcache_variant) */
    size_t count;        /* of the variants, and of the results */
    size_t result_size;  /* sizeof(struct pkgcache_result) */
    bool no_wait;  /* do not wait for variants that another process copies: they are COPYING */
    int cancel_fd; /* when it is readable, the warm stops and rolls back what is unfinished;
                      0 or -1: none */
    /* The calling thread calls this when something completed, every 100 ms at most. When it returns
       anything but 0, the warm stops as with cancel_fd. */
    int (*on_progress)(void *context, const struct pkgcache_progress *progress);
    /* The calling thread calls this when a variant is done; its result changes no more. */
    void (*on_result)(void *context, size_t index, const struct pkgcache_result *result);
    /* A thread of the engine calls this when it leaves something out of a copy. */
    void (*on_warning)(void *context, const char *path, const char *text);
    void *context;
};

/**
 * Copies variants into the cache, unless they are there: several at once, small ones first.
 *
 * @param results one for each variant, in the same order: FOUND, CREATED, COPYING, COPY_STALLED,
 *                SKIPPED or FAILED; filled in whatever happens but -EINVAL
 * @return        0: each variant has a result of its own; -ETIMEDOUT: the lock could not be taken;
 *                -ECANCELED: the caller stopped it; or another -errno: the cache cannot be used.
 *                Then the variants that were not done are FAILED for that reason. -EINVAL: a size
 *                is missing, or only a newer library can do what `warm` asks for
 */
PKGCACHE_PUBLIC int pkgcache_warm(struct pkgcache *cache, const struct pkgcache_warm *warm,
                                  struct pkgcache_result *results, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/**
 * Copies one variant into the cache, unless it is there: pkgcache_warm without callbacks.
 *
 * @param ret_result as of pkgcache_warm; the caller frees it with pkgcache_results_free
 * @return           as pkgcache_warm
 */
static inline int pkgcache_add(struct pkgcache *cache, const struct pkgcache_variant *variant,
                               struct pkgcache_result *ret_result, struct pkgcache_error *ret_error)
{
    struct pkgcache_warm warm;
    memset(&warm, 0, sizeof(warm));
    warm.size = sizeof(warm);
    warm.variants = variant;
    warm.variant_size = sizeof(*variant);
    warm.count = 1;
    warm.result_size = sizeof(*ret_result);
    return pkgcache_warm(cache, &warm, ret_result, ret_error);
}

#define PKGCACHE_NOT_COUNTED UINT64_MAX /* a number that is not known */

/** One line of a listing. */
struct pkgcache_entry {
    const struct pkgcache_handle *handle;
    enum pkgcache_status status; /* FOUND, COPYING, COPY_STALLED or PENDING */
    const char *cached_root;     /* NULL: pending */
    const char *source_root;     /* NULL: not known (rez does not say) */
    struct timespec last_used;   /* 0: pending */
    uint64_t bytes; /* of contents; PKGCACHE_NOT_COUNTED: not found, or not counted yet, which
                       pkgcache_clean does */
    uint64_t files; /* regular ones; PKGCACHE_NOT_COUNTED likewise */
};

/**
 * Lists variants, in no order, without those that are damaged. A variant that is added or removed
 * meanwhile may or may not be listed.
 *
 * @param visit called for each variant, by one thread at a time, but not always by the same one.
 *              The entry is valid until it returns. When it returns anything but 0, the listing
 *              ends
 * @return      0, what `visit` returned, or -errno
 */
PKGCACHE_PUBLIC int pkgcache_list(struct pkgcache *cache,
                                  int (*visit)(void *context, const struct pkgcache_entry *entry),
                                  void *context, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/**
 * Removes a variant from the cache: no look-up finds it any more. The next pkgcache_clean deletes
 * its files.
 *
 * @param ret_status may be NULL; REMOVED, NOT_FOUND, or COPYING: another process copies it
 * @return           1: it is removed; 0: it is not, see ret_status; or -errno (-ETIMEDOUT: the
 *                   lock)
 */
PKGCACHE_PUBLIC int pkgcache_remove(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                    enum pkgcache_status *ret_status,
                                    struct pkgcache_error *ret_error) PKGCACHE_NONNULL(1, 2);

/** How a payload differs from its manifest. */
enum pkgcache_difference {
    PKGCACHE_DIFFERENCE_MISSING,
    PKGCACHE_DIFFERENCE_ADDED,
    PKGCACHE_DIFFERENCE_TYPE,
    PKGCACHE_DIFFERENCE_SIZE,
    PKGCACHE_DIFFERENCE_CONTENTS,
    PKGCACHE_DIFFERENCE_TARGET, /* of a symbolic link */
    PKGCACHE_DIFFERENCE_MODE,
    PKGCACHE_DIFFERENCE_TIME, /* the modification time of a file or a link */
    PKGCACHE_DIFFERENCE_UNREADABLE,
};

/** @return "is missing", "has other contents", …: what follows the path in a message */
PKGCACHE_PUBLIC const char *pkgcache_difference_text(enum pkgcache_difference difference);

/** What became of a payload that was to be verified. */
enum pkgcache_verdict {
    PKGCACHE_VERDICT_SOUND,
    PKGCACHE_VERDICT_DIGESTED, /* it had no manifest to compare with; now it has one */
    PKGCACHE_VERDICT_DAMAGED,
    PKGCACHE_VERDICT_REPAIRED, /* it was damaged, and a new copy replaces it */
    PKGCACHE_VERDICT_GONE,     /* it is not in the cache, or no longer; that is no damage */
    PKGCACHE_VERDICT_UNKNOWN,  /* it could not be verified */
};

/** What pkgcache_verify found out about one payload. */
struct pkgcache_verified {
    const struct pkgcache_handle *handle;
    enum pkgcache_verdict verdict;
    const char *root;     /* of the cached payload; NULL: there is none */
    const char *reason;   /* why there is none, why it could not be verified, or why it was not
                             repaired, for people; NULL: nothing to say */
    uint64_t differences; /* how many were found */
};

struct pkgcache_verify {
    size_t size;                                  /* sizeof(struct pkgcache_verify) */
    const struct pkgcache_handle *const *handles; /* which variants; NULL: all in the cache */
    size_t count;
    double sample; /* the fraction of files whose contents are read, above 0; 0 or 1: all */
    bool repair;   /* copy damaged payloads again from their sources */
    int cancel_fd; /* when it is readable, the verify stops; 0 or -1: none */
    /* The calling thread calls these; what they receive is valid until they return. When
       on_progress returns anything but 0, the verify stops as with cancel_fd. */
    int (*on_progress)(void *context, const struct pkgcache_progress *progress);
    /* `root` is the payload's, and `path` is relative to it. */
    void (*on_difference)(void *context, const char *root, const char *path,
                          enum pkgcache_difference difference);
    void (*on_result)(void *context, const struct pkgcache_verified *result);
    void *context;
};

/** How many payloads got each verdict. */
struct pkgcache_verify_summary {
    size_t size; /* sizeof(struct pkgcache_verify_summary); set by the caller */
    size_t variants;
    size_t sound;
    size_t digested;
    size_t damaged;
    size_t repaired;
    size_t gone;
    size_t unknown;
    uint64_t files; /* that were compared */
    uint64_t bytes; /* that were read */
};

/**
 * Reads payloads again and compares them with their manifests: names, types, sizes, contents,
 * targets of links, modes, modification times. It reads contents from the disk, past the page cache
 * (O_DIRECT), where the file system allows that: it neither verifies what memory holds nor changes
 * it. Files that Python adds below __pycache__ are no difference. A payload that has no manifest
 * (rez copied it, or it was copied without digests) gets one now: damage from before stays unseen,
 * later damage is found.
 *
 * Look-ups find a payload all the time while it is repaired: the new copy is published beside it,
 * then the damaged one is removed. If the repair fails, the damaged payload stays, and is DAMAGED.
 * What this user or root cached is repaired. As root, so is what others cached: in a child process
 * of fork(2), which becomes the user who cached it, since that user says where it came from.
 *
 * @param ret_summary the caller sets its size; filled in whatever happens but -EINVAL
 * @return            0: each payload has a verdict of its own; -ETIMEDOUT: the lock, which repairs
 *                    take; -ECANCELED: the caller stopped it; or another -errno: the cache cannot
 *                    be used; -EINVAL: a size is missing, or only a newer library can do what
 *                    `verify` asks for
 */
PKGCACHE_PUBLIC int pkgcache_verify(struct pkgcache *cache, const struct pkgcache_verify *verify,
                                    struct pkgcache_verify_summary *ret_summary,
                                    struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 3) PKGCACHE_CHECKED;

/** Something that pkgcache_clean deleted, would delete, or kept although it is old or damaged. */
struct pkgcache_cleaned {
    const char *path;
    const char *why;      /* a few words */
    uint64_t bytes;       /* of contents; PKGCACHE_NOT_COUNTED: not known */
    uint64_t freed_bytes; /* of contents that are gone with it, or would be; 0 also for a variant
                             that was only taken out of the cache: what is left of it is deleted,
                             and reported, by itself, unless a process uses it */
};

/** A file that shares the blocks of an equal one, or would. */
struct pkgcache_shared {
    const char *path;
    const char *like; /* the other one */
    uint64_t bytes;   /* that its blocks had, and the disk has back */
};

struct pkgcache_clean {
    size_t size; /* sizeof(struct pkgcache_clean) */
    double
        time_limit_s; /* it is checked after each step; the next clean continues there. 0: none */
    bool dry_run;     /* delete nothing, only report */
    int cancel_fd;    /* when it is readable, the clean stops; 0 or -1: none */
    void (*on_removed)(void *context, const struct pkgcache_cleaned *cleaned);
    void (*on_kept)(void *context, const struct pkgcache_cleaned *cleaned); /* it may be in use */
    void (*on_failed)(void *context, const char *path, const char *why);
    void *context;
    unsigned max_unused_days;  /* delete variants that were last looked up longer ago; 0: none */
    unsigned max_log_days;     /* delete logs that were last written longer ago; 0: none */
    uint64_t max_bytes;        /* delete the least recently used variants until all together have
                                  no more; 0: no limit */
    unsigned max_disk_percent; /* the same until no more of the cache's file system is used; 0: no
                                  limit */
    bool share; /* then have equal files of all variants share their blocks, on file systems that
                   can: XFS, Btrfs */
    void (*on_shared)(void *context, const struct pkgcache_shared *shared);
};

/**
 * Deletes what is not needed any more: removed payloads, the leases of dead processes and what they
 * left in staging, stalled and damaged slots, directories that have been empty for a minute, old
 * logs; then variants that were not used for long, or that exceed the limits. It keeps each variant
 * that a process uses, as far as leases (pkgcache_lease) and /proc tell.
 *
 * Which files are equal is found by the digests of their copies, and confirmed by the kernel, which
 * compares them (FIDEDUPERANGE): a file that was changed keeps its blocks. No content, time or
 * link count changes, and what a program writes into one of them stays in that one.
 *
 * @return 0, also when the time limit ended it; -ETIMEDOUT (the lock), -ECANCELED, -EINVAL
 *         (`clean`), -EOPNOTSUPP (all but sharing is done), or another -errno
 */
PKGCACHE_PUBLIC int pkgcache_clean(struct pkgcache *cache, const struct pkgcache_clean *clean,
                                   struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/** What all users of a cache have done with it, and what is in it now. */
struct pkgcache_stats {
    size_t size;         /* sizeof(struct pkgcache_stats); set by the caller */
    time_t since;        /* when counting began; 0: nothing was counted yet */
    uint64_t hits;       /* look-ups that found the variant; a warm looks up each of its variants */
    uint64_t misses;     /* look-ups that did not */
    uint64_t waits;      /* variants that a warm waited for while another process copied them */
    uint64_t copies;     /* variants that were copied into the cache */
    uint64_t files;      /* of these copies */
    uint64_t bytes;      /* of these copies */
    double copy_seconds; /* how long they took; copies that one warm makes at once count once */
    double seconds_saved; /* an estimate: hits, times the average copy_seconds of a copy */
    uint64_t failures;    /* variants that could not be copied */
    uint64_t skipped;     /* variants that were refused */
    uint64_t removals;    /* variants that somebody removed */
    uint64_t evictions;   /* variants that pkgcache_clean deleted for their age, or for space */
    uint64_t cleans;      /* calls of pkgcache_clean */

    uint64_t variants; /* that are cached now */
    uint64_t stored_files;
    uint64_t stored_bytes;
    uint64_t room_bytes; /* free on the cache's file system */
    uint64_t largest_bytes;
    struct timespec oldest_used; /* when the least recently used variant was used */
    char largest[512];           /* NAME-VERSION of the largest; "" when nothing is cached */
    char oldest[512];            /* NAME-VERSION of the least recently used */

    uint64_t shared_files; /* that pkgcache_clean had share the blocks of equal ones */
    uint64_t shared_bytes; /* that it gave back to the disk by that */
    uint64_t reused_files; /* of `files`: those whose contents another cached variant had */
    uint64_t reused_bytes; /* of `bytes`, likewise */
};

/**
 * Gives the counters, and what is in the cache. Walks all payloads for their sizes, which takes
 * long where they are large. A process writes what it counted every second, and when it closes the
 * cache.
 *
 * @param ret the caller sets its size, and no more than that is filled in; zeros on failure
 * @return    0; -EINVAL: `ret` has no size; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_stats(struct pkgcache *cache, struct pkgcache_stats *ret,
                                   struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/** Sets the counters to zero, for all users of the cache. @return 0; -EACCES, -EROFS, … */
PKGCACHE_PUBLIC int pkgcache_stats_reset(struct pkgcache *cache, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1);

/** How much a finding of pkgcache_doctor matters. */
enum pkgcache_severity {
    PKGCACHE_SEVERITY_OK,      /* it is as it should be */
    PKGCACHE_SEVERITY_NOTE,    /* good to know; there is nothing to do */
    PKGCACHE_SEVERITY_WARNING, /* it works, but there is something to do */
    PKGCACHE_SEVERITY_PROBLEM, /* it does not work until something is done */
};

/** One thing that pkgcache_doctor found. */
struct pkgcache_finding {
    enum pkgcache_severity severity;
    const char *subject; /* a word, for programs: "io_uring", "lock", "stalled", "foreign", … */
    const char *path;    /* the file or directory that it concerns; NULL: the machine */
    const char *text;    /* what was found, for people */
    const char *advice;  /* what to do, in whole sentences; NULL: nothing */
};

struct pkgcache_doctor {
    size_t size;                /* sizeof(struct pkgcache_doctor) */
    const char *const *sources; /* directories that payloads are copied from; may be NULL */
    size_t source_count;
    void (*on_finding)(void *context, const struct pkgcache_finding *finding);
    void *context;
};

/**
 * Examines what this machine offers a cache, and the cache itself: its file system, its lock,
 * stalled copies, damage, and files that are not the cache's. Changes nothing, and takes no lock.
 *
 * @param path    the cache; when there is none, that is a finding
 * @param options which the cache is used with; NULL: the defaults
 * @return        0; -EINVAL (options); or another -errno: not everything could be examined
 */
PKGCACHE_PUBLIC int pkgcache_doctor(const char *path, const struct pkgcache_options *options,
                                    const struct pkgcache_doctor *doctor,
                                    struct pkgcache_error *ret_error) PKGCACHE_NONNULL(1, 3);

#ifdef __cplusplus
}
#endif
