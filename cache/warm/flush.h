/*
 * Group commit: a thread that flushes placed payloads to disk. Whenever no flush runs, one starts
 * for all payloads that wait; payloads that come during a flush wait for the next one.
 */
#pragma once

#include "cache/pkgcache.h"

struct flusher;

/** What one flush is wanted for. Lives in what waits for it. */
struct flush_request {
    struct flush_request *next;
    int tree_fd; /* the directory with what has to be on disk; stays the caller's */
    int result;  /* 0, or -errno: nothing is known to be on disk */
};

/**
 * @param cache_fd   any open file of the file system
 * @param durability NONE: requests are done at once, and nothing is flushed
 * @param on_done    called from the flusher's thread when requests were done
 * @param ret        ended with flusher_stop
 * @return           0, -ENOMEM, -EAGAIN
 */
int flusher_start(int cache_fd, enum pkgcache_durability durability, void (*on_done)(void *context),
                  void *context, struct flusher **ret);

/** Asks for a flush of all that was written up to now. */
void flusher_add(struct flusher *flusher, struct flush_request *request);

/** @return requests that are done, linked by `next`; NULL: none */
struct flush_request *flusher_take_done(struct flusher *flusher);

/**
 * Whether the kernel has written anything since the last time this was asked (nr_written of
 * /proc/vmstat): what a flush waits for comes nearer. Any disk counts, which is more than we would
 * like to know; but a cache's disk that hangs while others are busy is seldom.
 */
bool flusher_progresses(struct flusher *flusher);

/** Ends it. What waits is not flushed any more, and a flush that runs is not waited for. NULL is
 *  allowed. */
void flusher_stop(struct flusher *flusher);
