/*
 * Leases that clients have taken: they end with the connection, with the process, or when they are
 * given back. The lease on disk (cache/store/lease.h) is one for each process and variant.
 */
#pragma once

#include "cache/service/connection.h"

struct holder;

enum { HOLDS_OF_CONNECTION_MAX = 4096 };

/** Takes a lease for a process, and answers the call. Takes over the handle. */
void holds_take(struct server *server, const struct call *call, struct pkgcache_handle *handle,
                pid_t pid);

/** Gives a lease back, and answers the call. Takes over the handle. */
void holds_give_back(struct server *server, const struct call *call, struct pkgcache_handle *given,
                     pid_t pid);

/** A connection has ended, and its leases with it. */
void holds_forget(struct server *server, const struct connection *connection);

/** @return how many leases there are */
size_t holds_count(const struct server *server);

/** Frees all; the leases on disk end with their processes. */
void holds_free(struct server *server);
