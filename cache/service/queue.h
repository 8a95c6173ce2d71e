/*
 * rez's queue, served by the daemon (cache/service/serve.h): what resolves leave in `.sys/pending`,
 * and would else be copied by a rez-pkg-cache of their own. A thread of its own does it, so nothing
 * waits for it; and as that uses the disk when nobody else does, it waits for all others.
 */
#pragma once

#include "cache/service/server.h"

/**
 * Begins to watch, and to serve what waits already. A daemon of root leaves a queue alone that
 * others can write to: what it could read for them, they could not.
 *
 * @return 0 or -errno
 */
int queue_start(struct server *server, struct pkgcache_error *ret_error);

/** Serves the queue if there is anything in it. Now and then: not all file systems tell. */
void queue_look(struct server *server);
