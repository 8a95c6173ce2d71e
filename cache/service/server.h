/* What the parts of a daemon share. All of it belongs to the thread of the protocol. */
#pragma once

#include "cache/service/connection.h"
#include "cache/service/copier.h"
#include "cache/service/errands.h"
#include "cache/service/holds.h"
#include "cache/service/jobs.h"
#include "cache/service/listener.h"
#include "cache/service/service.h"

enum {
    SERVER_CONNECTIONS_MAX = 1024,
    SERVER_CONNECTIONS_OF_USER_MAX = 768, /* so that others, root among them, get in */
    SERVER_BUFFERS_MAX = 256 << 20,       /* bytes of all connections */
    SERVER_ROOM_BYTES = 64 << 10,
};

/** Something that epoll(7) tells of. Lives in what wants to know. */
struct source {
    void (*handle)(struct source *source, uint32_t events);
    struct server *server;
};

/** rez's queue; see queue.h. */
struct queue {
    struct errands *errands;
    struct errand errand;
    struct source told;
    int inotify_fd; /* -1: nothing is told of */
    int watched;    /* the directory, for inotify; -1: not */
    bool busy;
    bool again; /* something was told of meanwhile */
    uint64_t began_ns;
};

struct server_counters {
    uint64_t requests;
    uint64_t errors; /* answers that are */
    uint64_t look_ups;
    uint64_t hits;
    uint64_t accepted; /* connections */
    uint64_t refused;
    uint64_t dropped; /* for what they sent, or did not read */
    uint64_t jobs;    /* of method warm */
    uint64_t variants_done;
    uint64_t variants_failed;
};

struct server {
    const struct service_options *options;
    struct pkgcache_options cache_options;
    struct pkgcache_options queue_options;
    struct pkgcache_clean clean;
    struct pkgcache *cache; /* for looking; the threads have their own */
    struct peer_rule rule;
    struct listener listener;
    int epoll_fd;
    int wake_fd; /* an eventfd: a thread has done something */
    struct source listening;
    struct source waking;
    struct source signals;
    struct copier *copier;
    struct errands *leasing; /* takes the lock */
    struct errands *upkeep;  /* takes time */
    struct errands *listing; /* goes through the cache; waits for none of those */
    struct errands *reading; /* of sources: waits for storage, and for rez */
    struct queue queue;
    struct connections connections;
    struct jobs jobs;
    struct holder *holders; /* of leases */
    struct server_counters counters;
    struct text unwanted; /* answers that nobody waits for */
    bool stopping;
    int result;              /* of service_run */
    uint64_t crowd_ns;       /* when it was looked at last whether a crowd asks */
    unsigned crowd_requests; /* since: those that do not copy */
    uint64_t started_ns;
    uint64_t busy_ns; /* when there was a client or work last */
    uint64_t ticked_ns;
    uint64_t kept_ns; /* when the socket and the cache were looked at last */
    uint64_t metrics_ns;
    bool writes_metrics;
    uint64_t watchdog_ns; /* between two signs of life; 0: nobody waits for them */
    uint64_t alive_ns;    /* the last one */
    _Alignas(max_align_t) char room[SERVER_ROOM_BYTES]; /* for a short message's document */
};

/** @return 0 or -errno */
int server_watch(struct server *server, int fd, uint32_t events, struct source *source);

/** Ends the loop soon. */
void server_stop(struct server *server, int result);
