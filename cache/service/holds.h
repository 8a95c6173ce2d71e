/*
 * Leases that clients have taken: they end with the connection, with the process, or when they are
 * given back. The lease on disk (cache/store/lease.h) is one for each process and variant.
 */
#pragma once

#include "cache/service/call.h"
#include "cache/service/errands.h"

struct holder;

enum { HOLDS_OF_CONNECTION_MAX = 4096 };

struct holds {
    struct loop *loop;
    struct errands *errands; /* one thread; takes the cache's lock */
    struct holder *first;    /* private */
};

/** Takes a lease for a process, and answers the call. Takes over the handle. */
void holds_take(struct holds *holds, const struct call *call, struct pkgcache_handle *handle,
                pid_t pid);

/** Gives a lease back, and answers the call. Takes over the handle. */
void holds_give_back(struct holds *holds, const struct call *call, struct pkgcache_handle *given,
                     pid_t pid);

/** A connection has ended, and its leases with it. */
void holds_end_connection(struct holds *holds, const struct connection *connection);

/** @return how many leases there are */
size_t holds_count(const struct holds *holds);

/** Frees all; the leases on disk end with their processes. */
void holds_free(struct holds *holds);
