/*
 * rez's queue: `.sys/pending/` has a file for each variant that a resolve wants to be cached, with
 * its handle as JSON, under a name that is used once. rez writes them in place, so half of one can
 * be met. Who copies what is queued is serve.h's business.
 */
#pragma once

#include "cache/store/cache.h"

#define PENDING_DIRECTORY "pending"

/* Files of those who serve the queue (serve.h), in .sys. */
#define SERVE_LOCK    "serving" /* held by the process that serves */
#define SERVE_CLEANED "served"  /* its mtime: when one that serves last thought of cleaning */

/** One variant that is wanted. */
struct pending_entry {
    struct pkgcache_handle *handle;
    char *name;       /* of the file */
    struct stat file; /* says who wants it */
};

/** The queue as one process sees it. Starts as `struct pending pending = {.fd = -1}`. */
struct pending {
    int fd;
    struct pending_entry *entries; /* those that wait for longest first */
    size_t count;
    size_t capacity;
    bool unsettled; /* somebody may be writing one now: look again in a moment */
    void *kept;     /* private: names that this process leaves to others, of tsearch(3) */
};

/**
 * Reads one file of the queue.
 *
 * @param dirfd      `.sys/pending`
 * @param ret_status of the file that was read; may be NULL
 * @param ret_handle the caller frees it with handle_free
 * @return           0; -ENOENT: it was served meanwhile; -ENOMSG: a variant of a kind that has no
 *                   payload (the message is what it is called); -EBADMSG, -EINVAL: it holds no
 * handle, or is no file (the message says what it is); or -errno
 */
int pending_read(int dirfd, const char *name, struct pkgcache_handle **ret_handle,
                 struct stat *ret_status, struct pkgcache_error *ret_error);

/**
 * Whether there is anything in the queue, without reading it. For those in a hurry: two system
 * calls.
 *
 * @param sys_fd `.sys` of a cache
 */
bool pending_is_waiting(int sys_fd);

/**
 * Reads what is queued now, but for what was left to others before. What nobody can ever serve is
 * moved out of the way (poison.h). What has no payload leaves the queue, with a line in the log.
 * What stays where it is, because it is another user's, is left to them.
 *
 * @param pending filled in; that of an earlier call is forgotten
 * @return        0, also when no rez was ever here; or -errno
 */
int pending_load(struct pkgcache *cache, struct pending *pending, struct pkgcache_error *ret_error);

/** An entry is served: its file goes. */
void pending_remove(const struct pending *pending, const struct pending_entry *entry);

/** An entry is left to others: its file stays, and pending_load does not tell of it again. */
int pending_keep(struct pending *pending, const struct pending_entry *entry);

void pending_free(struct pending *pending);
