/* A thread that copies files. */
#pragma once

#include "engine/engine.h"

/** @return 0, -ENOMEM, -EMFILE, or what pthread_create answered; with the engine's lock held */
int worker_start(struct copyengine *engine, unsigned number, struct worker **ret);

/** Ends the thread; the engine is stopping and has no jobs. */
void worker_stop(struct worker *worker);

/** Ends the thread whenever it can, or never. */
void worker_leave_behind(struct worker *worker);

unsigned worker_number(const struct worker *worker);

/** Whether it is one of those beyond the processors, whose calls may wait for a server. */
bool worker_waits(const struct worker *worker);

/**
 * Whether a file of this job waits on this worker for its bandwidth: then the worker takes no more
 * of that job, but of others. Only from the worker's own thread.
 */
bool worker_delays(const struct worker *worker, const struct copyengine_job *job);

/**
 * Notes of which job the worker's next files are.
 *
 * @param job NULL: it has nothing to do. With the engine's lock held
 */
void worker_set_work(struct worker *worker, const struct copyengine_job *job);

/** Wakes the worker if it has nothing to do. With the engine's lock held. @return 1 if so, else 0
 */
unsigned worker_wake_if_idle(struct worker *worker);
