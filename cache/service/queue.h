/*
 * rez's queue, served by the daemon (cache/service/serve.h): what resolves leave in `.sys/pending`,
 * and would else be copied by a rez-pkg-cache of their own. A thread of its own does it, so nothing
 * waits for it; and as that uses the disk when nobody else does, it waits for all others.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cache/service/errands.h"
#include "cache/service/loop.h"

struct queue {
    struct loop *loop;
    struct pkgcache *cache;  /* the queue's directory is in it; the thread has its own */
    struct errands *errands; /* private, as all below; NULL: it was not started */
    struct errand errand;
    struct loop_watch directory_events;
    int inotify_fd; /* -1: there are no events */
    int watched;    /* the directory, for inotify; -1: not */
    bool busy;
    bool again; /* there were events meanwhile */
    uint64_t began_ns;
};

/**
 * Begins to watch, and to serve what is queued already. A daemon of root leaves a queue alone that
 * others can write to: what it could read for them, they could not.
 *
 * @param options with which it is served
 * @param wake_fd as for errands_start
 * @return        0 or -errno
 */
int queue_start(struct queue *queue, struct shared_options *options, int wake_fd,
                struct pkgcache_error *ret_error);

/** Serves the queue if there is anything in it. To be called now and then: not all file systems
 * have inotify events. */
void queue_check(struct queue *queue);
