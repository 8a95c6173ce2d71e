/*
 * Checking the roots of variants in parallel: a server may be slow, or never answer, and the check
 * of one root must not hold up the others.
 */
#pragma once

#include "cache/published/published.h"
#include "cache/store/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct roots;

enum { ROOTS_STUCK_MS = 1000 }; /* nothing was found for so long: all threads may hang */

struct root_check;

/** How a root is looked at. All zero: as any other. */
struct root_look {
    bool own_links; /* only links of root and this user are followed */
    /* Called with the open root by the thread that found it: may give the check another result. */
    void (*judge)(struct root_check *check, int fd);
    void (*free_subject)(void *subject);
    void *subject; /* of `judge`, which is the check's from now on; whoever frees that frees it */
    const struct pkgcache_handle *published_as; /* copied; whether a manifest of it is published
                                                   (cache/published/published.h). NULL: not asked */
};

/** What was found of one root. Freed with roots_free_check. */
struct root_check {
    struct root_check *next;
    void *context; /* the caller's */
    struct root_look look;
    int result;   /* 0: it is a directory that can be read; or -errno */
    dev_t device; /* that it is on */
    ino_t inode;
    char *resolved;                 /* its path without symbolic links */
    bool is_in_cache;               /* or is the cache, whichever mount leads to it */
    bool has_cache;                 /* in it, the same */
    struct pkgcache_handle *handle; /* NULL: see published_as */
    struct published *published; /* the manifest, if there is one that counts; whoever takes it sets
                                    it to NULL */
    struct pkgcache_error unpublished; /* why there is none; code 0: nobody asked, or it is there */
    int fd; /* of the root, if there is a manifest; else -1; whoever takes it sets it to -1 */
    char root[];
};

/**
 * @param cache   a directory that roots may not be in, and may not contain; NULL: there is none
 * @param on_done called from one of its threads when something was found
 * @param ret     ended with roots_stop
 * @return        0 or -ENOMEM
 */
int roots_start(const struct pkgcache *cache, void (*on_done)(void *context), void *context,
                struct roots **ret);

/**
 * Has a root looked at.
 *
 * @param look    its subject is taken over, also on failure
 * @param context handed back with what is found
 * @param ret     the check; until roots_take_done returns it, only its context may be touched
 * @return        0, -ENOMEM, or -EAGAIN when there is no thread to be had
 */
int roots_add(struct roots *roots, const char *root, const struct root_look *look, void *context,
              struct root_check **ret);

/** Sees to it that those that hang do not hold others up. Once in ROOTS_STUCK_MS while any wait. */
void roots_tend(struct roots *roots);

/** @return what was found since the last time, linked by `next`; NULL: nothing */
struct root_check *roots_take_done(struct roots *roots);

void roots_free_check(struct root_check *check);

/** Ends the looking. What hangs is left to the end of the process. NULL is allowed. */
void roots_stop(struct roots *roots);
