/*
 * libpkgcache: a cache of package payloads on local disk, in a directory shared with rez.
 *
 * A payload is published whole or not at all. Any number of processes, ours and rez's, may use one
 * cache at once. docs/library.md shows how programs use this; here is what each call promises.
 *
 * Results. A call returns 0 or what it documents, or -errno. Then `ret_error`, which may be NULL
 * everywhere, says why; after success it is as it was. Nothing is printed, nothing exits.
 *
 * Structures that begin with `size` may grow. Set it to their sizeof and the rest to zero, and what
 * you do not name is the default, in this version and in later ones.
 *
 * Threads. Looking (pkgcache_get, pkgcache_get_into, pkgcache_get_many, pkgcache_list,
 * pkgcache_stats, pkgcache_path) is for any number of threads at once with one `struct pkgcache`,
 * also while another thread changes the cache. Changing (everything else that takes one, also
 * pkgcache_lease, pkgcache_release and pkgcache_backend_description) is for one thread at a time;
 * who wants more opens the cache again, which costs a few system calls. Handles never change, and
 * belong to whoever holds them. A child of fork(2) opens its own.
 */
#pragma once

#include "copyengine.h" /* installed beside this one */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PKGCACHE_PUBLIC __attribute__((visibility("default")))

/* Both libraries are of one project, and have one version. To compare: 1.2.3 is 10203. */
#define PKGCACHE_VERSION        COPYENGINE_VERSION
#define PKGCACHE_VERSION_MAJOR  COPYENGINE_VERSION_MAJOR
#define PKGCACHE_VERSION_MINOR  COPYENGINE_VERSION_MINOR
#define PKGCACHE_VERSION_PATCH  COPYENGINE_VERSION_PATCH
#define PKGCACHE_VERSION_STRING COPYENGINE_VERSION_STRING

struct pkgcache;
struct pkgcache_handle;

/** @return PKGCACHE_VERSION of the library that runs */
PKGCACHE_PUBLIC int pkgcache_version(void);

/** Why a call failed, for people: what, why, and what to do where there is something to do. */
struct pkgcache_error {
    int code; /* an errno value, positive; 0 when nothing failed */
    char message[1024];
};

/** Where a variant stands, or what became of it. Up to 7 as rez has them; there may be more. */
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
 * @param status as a call returned it; anything negative is "failed"
 * @return       one word, static; "unknown" for a status of a newer library
 */
PKGCACHE_PUBLIC const char *pkgcache_status_name(int status);

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
    bool report_stalled;     /* leave stalled copies alone, as rez does, instead of taking over */
    unsigned stall_grace_s;  /* without a heartbeat, a copier that may live is taken for gone;
                                default: 60 */
    unsigned lock_timeout_s; /* default: 10 */
    bool refuse_same_device; /* do not cache what lies on the cache's own file system */
    bool no_digests;         /* take none while copying, and write no manifests */
    /* Nothing is begun while less is free on the cache's file system. When more of it is used than
       the threshold, copies are stopped, too, before they leave less. 0: it may be filled. */
    uint64_t space_buffer_bytes;
    unsigned used_threshold_percent;
    /* Where packages are not cached from; NULL: no such place. pkgcache_open copies the strings. */
    const char *local_packages_path; /* the repository of local packages */
    const char *temporary_path;      /* what has temporary repositories below it */
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
                                  struct pkgcache_error *ret_error);

/** Ends the use of a cache, once no thread uses it any more. NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_close(struct pkgcache *cache);

/** @return the cache's directory, absolute; belongs to the cache */
PKGCACHE_PUBLIC const char *pkgcache_path(const struct pkgcache *cache);

/**
 * @return which backend copies and why, for people; belongs to the cache; NULL before the first
 *         copy
 */
PKGCACHE_PUBLIC const char *pkgcache_backend_description(const struct pkgcache *cache);

/**
 * Finds a variant. Takes no lock, and answers found only when the payload is there whole.
 *
 * @param touch    record that it was used now
 * @param ret_root the payload's path, for free(3); NULL when it is not found
 * @return         the status: NOT_FOUND, FOUND, COPYING or COPY_STALLED; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_get(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                 bool touch, char **ret_root, struct pkgcache_error *ret_error);

/**
 * The same for those who ask often: nothing is allocated.
 *
 * @param buffer receives the payload's path; "" when it is not found
 * @param size   of the buffer in bytes; PATH_MAX is always enough
 * @return       as pkgcache_get; -ENAMETOOLONG: the path does not fit
 */
PKGCACHE_PUBLIC int pkgcache_get_into(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                      bool touch, char *buffer, size_t size,
                                      struct pkgcache_error *ret_error);

/**
 * Finds a variant as pkgcache_get does, and keeps it from pkgcache_clean until a process ends. The
 * process is known by its id and start time, so nothing has to be given back; one lease of a
 * variant is enough for a process. Takes the lock, unless the variant is not found. pkgcache_remove
 * is not kept from anything: who names a variant means it.
 *
 * @param pid      the process, as this one counts them: 1 to INT_MAX
 * @param ret_root as for pkgcache_get
 * @return         as for pkgcache_get; -ESRCH: no such process; -EACCES: it cannot be identified,
 * or leases cannot be written here; -ETIMEDOUT: the lock
 */
PKGCACHE_PUBLIC int pkgcache_lease(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                   pid_t pid, char **ret_root, struct pkgcache_error *ret_error);

/**
 * Ends a lease before its process does. Takes no lock.
 *
 * @return 0, also when there was none; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_release(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                     pid_t pid, struct pkgcache_error *ret_error);

/**
 * Makes a handle, what identifies a variant, of its parts.
 *
 * @param location the repository's directory: an absolute path, as rez has it (links resolved)
 * @param name     of the package, UTF-8
 * @param version  UTF-8; NULL: the package has none
 * @param index    of the variant, from 0; -1: the package has no variants
 * @param ret      the handle; the caller frees it with pkgcache_handle_free
 * @return         0; -EINVAL: none that rez can read back; -ENOMEM; -ENOTSUP: this machine's
 *                 OpenSSL has no SHA-1
 */
PKGCACHE_PUBLIC int pkgcache_handle_new(const char *location, const char *name, const char *version,
                                        int32_t index, struct pkgcache_handle **ret,
                                        struct pkgcache_error *ret_error);

/**
 * Makes a handle of JSON as rez writes it: {"key": "filesystem.variant", "variables": {"location",
 * "name", "version", "index", "repository_type"}}.
 *
 * @param length of `text` in bytes; no NUL is needed
 * @param ret the handle; the caller frees it with pkgcache_handle_free
 * @return    0; -EBADMSG: no JSON; -EINVAL: none that rez can read back; -ENOMEM, -ENOTSUP
 */
PKGCACHE_PUBLIC int pkgcache_handle_parse(const char *text, size_t length,
                                          struct pkgcache_handle **ret,
                                          struct pkgcache_error *ret_error);

/** NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_handle_free(struct pkgcache_handle *handle);

/** @return NAME-VERSION, or NAME; belongs to the handle */
PKGCACHE_PUBLIC const char *pkgcache_handle_name(const struct pkgcache_handle *handle);

/** @return the handle as JSON, for free(3), which pkgcache_handle_parse reads; NULL: no memory */
PKGCACHE_PUBLIC char *pkgcache_handle_json(const struct pkgcache_handle *handle);

/** Whether both are the same variant. */
PKGCACHE_PUBLIC bool pkgcache_handle_equal(const struct pkgcache_handle *a,
                                           const struct pkgcache_handle *b);

/** A variant to be cached. */
struct pkgcache_variant {
    const struct pkgcache_handle *handle;
    const char *root; /* the payload at its source, absolute */
    bool force;       /* also where the cache's options refuse it; room is needed all the same */
    enum copyengine_priority priority; /* those with a higher one are begun first, and copied
                                          faster; none waits for ever */
    const char *requires_json; /* rez's list of its requirements, as JSON: kept in the sidecar for
                                  people; NULL: none */
};

/** What became of one variant. The strings are freed with pkgcache_results_free. */
struct pkgcache_result {
    enum pkgcache_status status;
    char *root;     /* of the cached payload; NULL when there is none */
    char *reason;   /* why not, for people; NULL when there is nothing to say */
    uint64_t files; /* copied for it */
    uint64_t bytes;
};

/** Frees what results own, not the array. */
PKGCACHE_PUBLIC void pkgcache_results_free(struct pkgcache_result *results, size_t count);

/**
 * Finds many variants: pkgcache_get for each, and no faster than that. Where one cannot be looked
 * up the others still are.
 *
 * @param handles in any order, also several times the same
 * @param touch   record of those that are found that they were used now
 * @param results one for each handle, in the same order, filled in whatever happens: NOT_FOUND,
 *                FOUND, COPYING, COPY_STALLED or FAILED
 * @return        0, or -errno of the first that FAILED
 */
PKGCACHE_PUBLIC int pkgcache_get_many(struct pkgcache *cache,
                                      const struct pkgcache_handle *const *handles, size_t count,
                                      bool touch, struct pkgcache_result *results,
                                      struct pkgcache_error *ret_error);

/** How far a warm is. */
struct pkgcache_progress {
    size_t variants;
    size_t variants_done;
    uint64_t files;
    uint64_t bytes;
};

struct pkgcache_warm {
    size_t size; /* sizeof(struct pkgcache_warm) */
    const struct pkgcache_variant *variants;
    size_t count;
    bool no_wait;  /* do not wait for variants that another process copies: COPYING */
    int cancel_fd; /* readable: stop, roll back what is unfinished; 0 or -1: none */
    /* From the calling thread, when something completed, at most every 100 ms or so. */
    void (*on_progress)(void *context, const struct pkgcache_progress *progress);
    /* From the calling thread, when a variant is done; `result` is as it stays. */
    void (*on_result)(void *context, size_t index, const struct pkgcache_result *result);
    /* From a thread of the engine: something was left out of a copy. */
    void (*on_warning)(void *context, const char *path, const char *text);
    void *context;
};

/**
 * Brings variants into the cache: several at once, small ones before large ones.
 *
 * @param results one for each variant, in the same order: FOUND, CREATED, COPYING, COPY_STALLED,
 *                SKIPPED or FAILED; filled in whatever happens but -EINVAL
 * @return        0 when each has a result of its own; -ETIMEDOUT when the lock could not be had,
 *                -ECANCELED when cancel_fd became readable, or -errno when the cache cannot be
 *                used: then those that were not done are FAILED with that reason; -EINVAL: `warm`
 *                is none of this library
 */
PKGCACHE_PUBLIC int pkgcache_warm(struct pkgcache *cache, const struct pkgcache_warm *warm,
                                  struct pkgcache_result *results,
                                  struct pkgcache_error *ret_error);

/**
 * Brings one variant into the cache, and waits for that: pkgcache_warm without callbacks.
 *
 * @param ret_result as of pkgcache_warm; freed with pkgcache_results_free
 * @return           as pkgcache_warm
 */
PKGCACHE_PUBLIC int pkgcache_add(struct pkgcache *cache, const struct pkgcache_variant *variant,
                                 struct pkgcache_result *ret_result,
                                 struct pkgcache_error *ret_error);

#define PKGCACHE_NOT_COUNTED UINT64_MAX /* a number that nobody has found out */

/** One line of a listing. */
struct pkgcache_entry {
    const struct pkgcache_handle *handle;
    enum pkgcache_status status; /* FOUND, COPYING, COPY_STALLED or PENDING */
    const char *cached_root;     /* NULL: pending */
    const char *source_root;     /* NULL: not known (rez does not say) */
    struct timespec last_used;   /* 0: pending */
    uint64_t
        bytes; /* of contents; PKGCACHE_NOT_COUNTED: not found, or not counted yet (clean does) */
    uint64_t files; /* the same for regular files */
};

/**
 * Lists variants, in no order. Those that come or go meanwhile may or may not be in it; damaged
 * ones are not.
 *
 * @param visit called for each, one call at a time, but not always by the same thread; what it is
 *              given lives until it returns; non-zero ends the listing
 * @return      0, what `visit` returned, or -errno
 */
PKGCACHE_PUBLIC int pkgcache_list(struct pkgcache *cache,
                                  int (*visit)(void *context, const struct pkgcache_entry *entry),
                                  void *context, struct pkgcache_error *ret_error);

/**
 * Takes a variant out of the cache. Its bytes go at the next clean.
 *
 * @return the status: REMOVED, NOT_FOUND or COPYING; or -errno (-ETIMEDOUT: the lock)
 */
PKGCACHE_PUBLIC int pkgcache_remove(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                    struct pkgcache_error *ret_error);

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
    PKGCACHE_VERDICT_DIGESTED, /* there was nothing to compare with; from now on there is */
    PKGCACHE_VERDICT_DAMAGED,
    PKGCACHE_VERDICT_REPAIRED, /* it was damaged, and is replaced */
    PKGCACHE_VERDICT_GONE,     /* it is not, or no longer, in the cache; that is no damage */
    PKGCACHE_VERDICT_UNKNOWN,  /* it could not be verified */
};

struct pkgcache_verified {
    const struct pkgcache_handle *handle;
    enum pkgcache_verdict verdict;
    const char *root;     /* of the cached payload; NULL: there is none */
    const char *reason;   /* why not, or why it was not repaired, for people; NULL */
    uint64_t differences; /* that were found */
};

struct pkgcache_verify {
    size_t size;                                  /* sizeof(struct pkgcache_verify) */
    const struct pkgcache_handle *const *handles; /* which variants; NULL: all that there are */
    size_t count;
    double sample; /* the share of files whose contents are read, above 0; 0 or 1: all */
    bool repair;   /* copy what is damaged again from its source */
    int cancel_fd; /* readable: stop; 0 or -1: none */
    /* All are called from the calling thread; what they are given lives until they return. */
    void (*on_progress)(void *context, const struct pkgcache_progress *progress);
    /* `root` is the payload's, and `path` relative to it. */
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
    uint64_t files; /* looked at */
    uint64_t bytes; /* read */
};

/**
 * Reads payloads again and compares them with their manifests: names, types, sizes, contents,
 * targets of links, modes, modification times. Contents come from the disk where the file system
 * lets them be read past the page cache (O_DIRECT), so what memory holds stays as it is, and is not
 * verified. What Python adds below __pycache__ is no difference. A payload without a manifest,
 * rez's and those that were copied without digests, is digested now: that shows nothing of its
 * past, but what happens to it from now on.
 *
 * A payload that is repaired is found all the time: the new one is published beside it, and then it
 * is removed. If that fails it is left where it is, and DAMAGED.
 *
 * @param ret_summary its size is set by the caller; filled in whatever happens but -EINVAL
 * @return            0 when each has a verdict of its own; -ETIMEDOUT (the lock, for repairs),
 *                    -ECANCELED, or -errno when the cache cannot be used; -EINVAL: `verify` or
 *                    `ret_summary` is none of this library
 */
PKGCACHE_PUBLIC int pkgcache_verify(struct pkgcache *cache, const struct pkgcache_verify *verify,
                                    struct pkgcache_verify_summary *ret_summary,
                                    struct pkgcache_error *ret_error);

/** Something that clean deleted, or would delete, or left although it had a reason to delete it. */
struct pkgcache_cleaned {
    const char *path;
    const char *why; /* a few words */
    uint64_t bytes;  /* of contents; PKGCACHE_NOT_COUNTED: nobody has counted them */
};

struct pkgcache_clean {
    size_t size;         /* sizeof(struct pkgcache_clean) */
    double time_limit_s; /* looked at after each step; the next clean goes on there. 0: none */
    bool dry_run;        /* only say what would go */
    int cancel_fd;       /* readable: stop; 0 or -1: none */
    void (*on_removed)(void *context, const struct pkgcache_cleaned *cleaned);
    void (*on_kept)(void *context, const struct pkgcache_cleaned *cleaned); /* in use, or may be */
    void (*on_failed)(void *context, const char *path, const char *why);
    void *context;
    unsigned max_unused_days;  /* variants that were not looked up for longer go; 0: none */
    unsigned max_log_days;     /* logs that were not written to for longer go; 0: none */
    uint64_t max_bytes;        /* of all variants: what was not looked up for longest goes until no
                                  more is left. 0: as many as there are */
    unsigned max_disk_percent; /* the same, of the cache's file system; 0: no such limit */
};

/**
 * Deletes what is no use any more: removed payloads, what dead processes left in staging, their
 * leases, stalled and damaged slots, directories that have been empty for a minute, old logs; then
 * variants that nobody has used for long, or that are too many. Never a variant that is in use, as
 * far as leases (pkgcache_lease) and /proc tell.
 *
 * @return 0, also when the time was over; -ETIMEDOUT (the lock), -ECANCELED, -EINVAL (`clean`), or
 *         -errno
 */
PKGCACHE_PUBLIC int pkgcache_clean(struct pkgcache *cache, const struct pkgcache_clean *clean,
                                   struct pkgcache_error *ret_error);

/** What a cache has done for all who used it, and what is in it now. */
struct pkgcache_stats {
    size_t size;          /* sizeof(struct pkgcache_stats); set by the caller */
    time_t since;         /* when counting began; 0: nothing was counted yet */
    uint64_t hits;        /* look-ups that found the variant; warm looks up each of its variants */
    uint64_t misses;      /* look-ups that did not */
    uint64_t waits;       /* variants that were waited for while another process copied them */
    uint64_t copies;      /* variants that were copied into the cache */
    uint64_t files;       /* of those */
    uint64_t bytes;       /* of those */
    double copy_seconds;  /* how long that took; what one warm copied side by side counts once */
    double seconds_saved; /* an estimate: hits, each as long as a copy took on average */
    uint64_t failures;    /* variants that could not be copied */
    uint64_t skipped;     /* variants that were refused */
    uint64_t removals;    /* variants that somebody took out */
    uint64_t evictions;   /* variants that clean took out for their age, or for room */
    uint64_t cleans;      /* runs of clean */

    uint64_t variants; /* that are cached now */
    uint64_t stored_files;
    uint64_t stored_bytes;
    uint64_t room_bytes; /* that are free on the file system */
    uint64_t largest_bytes;
    struct timespec oldest_used; /* when that which was not used for longest was */
    char largest[512];           /* its NAME-VERSION; "" when nothing is cached */
    char oldest[512];
};

/**
 * Tells what the counters say, and what is in the cache. All payloads are walked for their sizes:
 * with large ones, that takes a while. Processes write down at least every second what they count,
 * and when they close the cache.
 *
 * @param ret its size is set by the caller; no more than that is filled in, with zeros on failure
 * @return    0; -EINVAL: `ret` has no size; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_stats(struct pkgcache *cache, struct pkgcache_stats *ret,
                                   struct pkgcache_error *ret_error);

/** Begins to count anew, for all who use the cache. @return 0; -EACCES, -EROFS, … */
PKGCACHE_PUBLIC int pkgcache_stats_zero(struct pkgcache *cache, struct pkgcache_error *ret_error);

/** How much a finding of pkgcache_doctor matters. */
enum pkgcache_severity {
    PKGCACHE_WELL,    /* as it should be */
    PKGCACHE_NOTE,    /* good to know; nothing needs to be done */
    PKGCACHE_WARNING, /* it works, and something should be done */
    PKGCACHE_PROBLEM, /* something does not work until somebody does something */
};

/** One thing that pkgcache_doctor found. */
struct pkgcache_finding {
    enum pkgcache_severity severity;
    const char *subject; /* a word, for programs: "io_uring", "lock", "stalled", "foreign", … */
    const char *path;    /* what it is about; NULL: the machine */
    const char *text;
    const char *advice; /* what to do, in whole sentences; NULL: nothing */
};

struct pkgcache_doctor {
    size_t size;                /* sizeof(struct pkgcache_doctor) */
    const char *const *sources; /* directories that payloads are copied from; may be NULL */
    size_t source_count;
    void (*on_finding)(void *context, const struct pkgcache_finding *finding);
    void *context;
};

/**
 * Examines what this machine can do for a cache, and the cache itself: its file system, lock,
 * stalled copies, damage, and what is none of its own. Changes nothing, and takes no lock.
 *
 * @param path    the cache; that there is none is a finding, too
 * @param options those that it is used with; NULL: the defaults
 * @return        0; -EINVAL (options); or -errno when not everything could be looked at
 */
PKGCACHE_PUBLIC int pkgcache_doctor(const char *path, const struct pkgcache_options *options,
                                    const struct pkgcache_doctor *doctor,
                                    struct pkgcache_error *ret_error);

/*
 * Clients of the daemon of a cache (`pkgcache daemon`): the same work, done by a process that has
 * the cache open already, and copies once what many ask for. A connection is for one thread at a
 * time. After an error other than those that the daemon answers with, it can only be closed.
 */
struct pkgcache_client;

/**
 * Connects to the daemon of a cache. Only one that runs as this user, as root, or as the user whom
 * the cache belongs to is believed.
 *
 * @param path        the cache's directory
 * @param socket_path NULL: in the cache
 * @param ret         the connection; the caller ends it with pkgcache_client_close
 * @return            0; -ENOENT, -ECONNREFUSED: there is no daemon; -EPERM: it is somebody else's;
 *                    or another -errno
 */
PKGCACHE_PUBLIC int pkgcache_client_open(const char *path, const char *socket_path,
                                         struct pkgcache_client **ret,
                                         struct pkgcache_error *ret_error);

/** Ends a connection, and the leases that were taken with it. NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_client_close(struct pkgcache_client *client);

/**
 * Asks for anything, as docs/daemon.md has it.
 *
 * @param params     a JSON object; NULL: none
 * @param ret_result the result as JSON, for free(3); may be NULL
 * @return           0; -EAGAIN: the daemon is busy; -EPERM: not for this user; -ETIMEDOUT: no
 *                   answer for 30 s; -ECONNRESET: it has gone; -EBADMSG; or what it answered
 */
PKGCACHE_PUBLIC int pkgcache_client_call(struct pkgcache_client *client, const char *method,
                                         const char *params, char **ret_result,
                                         struct pkgcache_error *ret_error);

/** As pkgcache_get. */
PKGCACHE_PUBLIC int pkgcache_client_get(struct pkgcache_client *client,
                                        const struct pkgcache_handle *handle, bool touch,
                                        char **ret_root, struct pkgcache_error *ret_error);

/** As pkgcache_get_many, in few messages. */
PKGCACHE_PUBLIC int pkgcache_client_get_many(struct pkgcache_client *client,
                                             const struct pkgcache_handle *const *handles,
                                             size_t count, bool touch,
                                             struct pkgcache_result *results,
                                             struct pkgcache_error *ret_error);

/** As pkgcache_list, all in this thread. @return also -EMSGSIZE: more than an answer takes */
PKGCACHE_PUBLIC int pkgcache_client_list(struct pkgcache_client *client,
                                         int (*visit)(void *context,
                                                      const struct pkgcache_entry *entry),
                                         void *context, struct pkgcache_error *ret_error);

/**
 * As pkgcache_warm, but that on_warning is not called, and `no_wait` means not to wait at all: then
 * variants that are not known yet to be there are COPYING.
 *
 * @return as pkgcache_client_call, or -ECANCELED: what nobody else wants is rolled back
 */
PKGCACHE_PUBLIC int pkgcache_client_warm(struct pkgcache_client *client,
                                         const struct pkgcache_warm *warm,
                                         struct pkgcache_result *results,
                                         struct pkgcache_error *ret_error);

/** As pkgcache_lease for this process, until pkgcache_client_release or pkgcache_client_close. */
PKGCACHE_PUBLIC int pkgcache_client_lease(struct pkgcache_client *client,
                                          const struct pkgcache_handle *handle, char **ret_root,
                                          struct pkgcache_error *ret_error);

/** Ends a lease of this connection. @return 0, also when there was none */
PKGCACHE_PUBLIC int pkgcache_client_release(struct pkgcache_client *client,
                                            const struct pkgcache_handle *handle,
                                            struct pkgcache_error *ret_error);

#ifdef __cplusplus
}
#endif
