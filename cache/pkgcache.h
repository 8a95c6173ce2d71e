/*
 * libpkgcache: a cache of package payloads on local disk, in a directory shared with rez.
 *
 * A payload is published whole or not at all. Any number of processes, ours and rez's, may use one
 * cache at once. One `struct pkgcache` belongs to one thread at a time.
 */
#pragma once

#include "copyengine.h" /* installed beside this one */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PKGCACHE_PUBLIC __attribute__((visibility("default")))

struct pkgcache;
struct pkgcache_handle;

/** Why a call failed, for people: what, why, and what to do where there is something to do. */
struct pkgcache_error {
    int code; /* an errno value, positive; 0 when nothing failed */
    char message[1024];
};

/** Where a variant stands, or what became of it. The numbers up to 7 are rez's. */
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
    struct copyengine_options engine;
    bool report_stalled;     /* leave stalled copies alone, as rez does, instead of taking over */
    unsigned stall_grace_s;  /* without a heartbeat, a copier that may live is taken for gone;
                                default: 60 */
    unsigned lock_timeout_s; /* default: 10 */
    bool refuse_same_device; /* do not cache what lies on the cache's own file system */
};

/**
 * Opens a cache.
 *
 * @param path    its directory
 * @param options NULL: the defaults
 * @param create  make the directory (that one only) when it is missing
 * @param ret     the cache; the caller ends it with pkgcache_close
 * @return        0, -ENOENT, -ENOTDIR, -EACCES, -EROFS, … with ret_error filled in
 */
PKGCACHE_PUBLIC int pkgcache_open(const char *path, const struct pkgcache_options *options,
                                  bool create, struct pkgcache **ret,
                                  struct pkgcache_error *ret_error);

/** NULL is allowed. */
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
 * @param ret_root the payload's path, allocated; NULL when it is not found
 * @return         the status: NOT_FOUND, FOUND, COPYING or COPY_STALLED; or -errno
 */
PKGCACHE_PUBLIC int pkgcache_get(struct pkgcache *cache, const struct pkgcache_handle *handle,
                                 bool touch, char **ret_root, struct pkgcache_error *ret_error);

/**
 * Makes a handle, what identifies a variant, of JSON as rez writes it: {"key":
 * "filesystem.variant", "variables": {"location", "name", "version", "index", "repository_type"}}.
 *
 * @param ret the handle; the caller frees it with pkgcache_handle_free
 * @return    0; -EBADMSG: no JSON; -EINVAL: none that rez can read back; -ENOMEM
 */
PKGCACHE_PUBLIC int pkgcache_handle_parse(const char *text, size_t length,
                                          struct pkgcache_handle **ret,
                                          struct pkgcache_error *ret_error);

/** NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_handle_free(struct pkgcache_handle *handle);

/** @return NAME-VERSION, or NAME; belongs to the handle */
PKGCACHE_PUBLIC const char *pkgcache_handle_name(const struct pkgcache_handle *handle);

/** A variant to be cached. */
struct pkgcache_variant {
    const struct pkgcache_handle *handle;
    const char *root; /* the payload at its source */
};

struct pkgcache_result {
    enum pkgcache_status status; /* FOUND, CREATED, COPYING, COPY_STALLED, SKIPPED or FAILED */
    char *root;                  /* of the cached payload; NULL when there is none */
    char *reason;                /* why not, for people; NULL when there is nothing to say */
    uint64_t files;              /* copied for it */
    uint64_t bytes;
};

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
    int cancel_fd; /* readable: stop, roll back what is unfinished; -1: none */
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
 * @param results one for each variant, in the same order, filled in whatever happens; freed with
 *                pkgcache_results_free
 * @return        0 when each has a result of its own; -ETIMEDOUT when the lock could not be had,
 *                -ECANCELED when cancel_fd became readable, or -errno when the cache cannot be
 *                used: then those that were not done are FAILED with that reason
 */
PKGCACHE_PUBLIC int pkgcache_warm(struct pkgcache *cache, const struct pkgcache_warm *warm,
                                  struct pkgcache_result *results,
                                  struct pkgcache_error *ret_error);

/** Frees what results own, not the array. */
PKGCACHE_PUBLIC void pkgcache_results_free(struct pkgcache_result *results, size_t count);

/** One line of a listing. */
struct pkgcache_entry {
    const struct pkgcache_handle *handle;
    enum pkgcache_status status; /* FOUND, COPYING, COPY_STALLED or PENDING */
    const char *cached_root;     /* NULL: pending */
    const char *source_root;     /* NULL: not known (rez does not say) */
    struct timespec last_used;   /* 0: pending */
};

/**
 * Lists variants. Those that come or go meanwhile may or may not be in it; damaged ones are not.
 *
 * @param visit called for each; what it is given lives until it returns; non-zero ends the listing
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

struct pkgcache_clean {
    size_t size;         /* sizeof(struct pkgcache_clean) */
    double time_limit_s; /* looked at after each step; 0: none. With one, stalled copies stay */
    bool dry_run;        /* only say what would go */
    int cancel_fd;       /* readable: stop; -1: none */
    /* Something went, or would go; `why` is a few words. */
    void (*on_removed)(void *context, const char *path, const char *why);
    void (*on_failed)(void *context, const char *path, const char *why);
    void *context;
};

/**
 * Deletes what is no use any more: removed payloads, what dead processes left in staging, stalled
 * and damaged slots, directories that have been empty for a minute.
 *
 * @return 0, -ETIMEDOUT (the lock), -ECANCELED, or -errno
 */
PKGCACHE_PUBLIC int pkgcache_clean(struct pkgcache *cache, const struct pkgcache_clean *clean,
                                   struct pkgcache_error *ret_error);

#ifdef __cplusplus
}
#endif
