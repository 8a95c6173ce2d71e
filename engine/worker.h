/* A thread that copies files. */
#pragma once

#include "engine/engine_thread.h"
#include "engine/io.h"
#include "engine/schedule.h"

/** What all workers of an engine have in common. */
struct worker_settings {
    struct schedule *schedule;
    struct engine_thread_settings thread;
    const struct io_backend *backend;
    const struct io_backend *blocking_backend; /* of the workers beyond the processors */
    unsigned transfers_in_ring; /* files that a worker which queues has under way, at most */
};

/**
 * Starts a worker.
 *
 * @param settings outlive it
 * @param ret      its seat
 * @return         0, -ENOMEM, -EMFILE, or what pthread_create answered
 */
int worker_start(const struct worker_settings *settings, unsigned number, struct seat **ret);

/** Ends the thread; the schedule is stopped and has no jobs. */
void worker_stop(struct seat *seat);

/** Ends the thread whenever it can, or never. */
void worker_leave_behind(struct seat *seat);
