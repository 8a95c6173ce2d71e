/*
 * The engine: its threads, and how jobs are handed to them.
 *
 * Two kinds of threads. Readers only read directories, ahead of the copying: no ring can do that
 * (there is no getdents operation), so they may block; they also remove what is to go. Workers copy
 * files, and read directories that are in memory; each has an io of its own. One worker per
 * processor queues what would block; more workers are started for what blocks on a server, and
 * cannot be queued. What is queued between readers and workers is bounded: see schedule.c.
 */
#pragma once

#include "engine/cancel.h"
#include "engine/copyengine.h"
#include "engine/engine_common.h"
#include "engine/schedule.h"
#include "engine/worker.h"

struct copyengine {
    char backend_description[160];
    struct engine_common common; /* what jobs know of their engine */
    struct worker_settings workers;
    struct canceller canceller;
    pthread_t readers[READERS_MAX];
    struct schedule schedule; /* last: see there */
};

/**
 * As copyengine_new, with a backend of the caller's. For tests.
 *
 * @param backend NULL: as the options say
 */
int engine_new(const struct copyengine_options *options, const struct io_backend *backend,
               struct copyengine **ret, struct copyengine_error *ret_error);
