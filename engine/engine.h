/*
 * The engine: its threads, and how work is handed to them.
 *
 * Two kinds of threads. Readers only read directories, ahead of the copying: no ring can do that
 * (there is no getdents operation), so they may block. Workers copy files; each has an io of its
 * own. What waits between them is bounded: see schedule.c.
 */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"
#include "engine/limit.h"

enum {
    WORKERS_MAX = 128,
    READERS_MAX = 32,
};

struct worker;

struct copyengine {
    struct copyengine_options options;
    const struct io_backend *backend;
    char backend_description[160];
    struct limit limit;
    atomic_bool modes_masked; /* a thread could not have a umask of its own */
    unsigned processors;
    unsigned batches_max;          /* waiting at once: each keeps two descriptors open */
    unsigned transfers_per_worker; /* files that a worker has under way at once */

    pthread_mutex_t lock; /* everything below, and what job.h says */
    pthread_cond_t reader_wake;
    struct copyengine_job *jobs;
    unsigned job_count;
    bool stopping;
    unsigned worker_count;
    struct worker *workers[WORKERS_MAX];
    unsigned reader_count;
    unsigned readers_idle;
    pthread_t readers[READERS_MAX];
};

/** Files that a worker has taken: names [next, end) of a batch. */
struct slice {
    struct batch *batch; /* NULL: none */
    unsigned next;
    unsigned end;
};

/** Takes a job off the list of those that have work. */
void engine_remove_job(struct copyengine *engine, struct copyengine_job *job);

/**
 * Makes sure that enough threads run for a job whose operations take long.
 *
 * @param job its latencies are known
 */
void engine_grow(struct copyengine *engine, const struct copyengine_job *job);

/** What a thread of the engine does first: a umask of its own, its I/O priority. */
void engine_enter_thread(struct copyengine *engine);

/**
 * Waits for a directory that should be read now, of the job that has had least.
 *
 * @return NULL: the engine stops
 */
struct directory *schedule_take_directory(struct copyengine *engine);

/**
 * Adds what was found in a directory.
 *
 * @param again       the directory itself when it has more to read, else NULL
 * @param directories found in it, linked by `next`
 * @param batches     of files, linked by `next`
 */
void schedule_add(struct copyengine *engine, struct copyengine_job *job, struct directory *again,
                  struct directory *directories, struct batch *batches);

/**
 * Takes files to copy, of the job that has had least. Marks the worker as idle when there are none.
 *
 * @param service_below only of jobs that have had less than this
 * @return              false: none
 */
bool schedule_take_files(struct copyengine *engine, struct worker *worker,
                         unsigned long long service_below, struct slice *ret);

/** Whether a job that has had less than `service` has files waiting. */
bool schedule_has_lesser(struct copyengine *engine, unsigned long long service);
