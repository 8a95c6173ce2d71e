/*
 * The engine: its threads, and how work is handed to them.
 *
 * Two kinds of threads. Readers only read directories, ahead of the copying: no ring can do that
 * (there is no getdents operation), so they may block; they also remove what is to go. Workers copy
 * files, and read directories that are in memory; each has an io of its own. One worker per
 * processor queues what would wait; more workers are started for what waits for a server, and
 * cannot be queued. What waits between readers and workers is bounded: see schedule.c.
 */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"
#include "engine/limit.h"
#include "engine/processors.h"
#include "engine/tuner.h"

enum {
    WORKERS_MAX = 1024,
    READERS_MAX = 160, /* many more than one server may have: see schedule.c */
};

struct file;
struct worker;

/** The thread that ends jobs for their owners when what they wait for hangs: see cancel.c. */
struct canceller {
    pthread_t thread;
    bool started;
    pthread_cond_t wake;
    struct copyengine_job *jobs;
};

struct copyengine {
    struct copyengine_options options;
    const struct io_backend *backend;
    const struct io_backend *waiting_backend; /* of the workers beyond the processors */
    char backend_description[160];
    struct limit limit;
    struct devices devices;
    struct tuner waiting; /* how many operations at once, where they wait for a disk or a server */
    struct tuner running; /* how many workers, where they do not wait */
    atomic_bool modes_masked;   /* a thread could not have a umask of its own */
    cpu_set_t processor_set;    /* that it may use */
    unsigned processors;        /* how many it goes by */
    unsigned batches_max;       /* waiting at once: each keeps descriptors open */
    unsigned transfers_in_ring; /* files that a worker which queues has under way, at most */

    pthread_mutex_t lock; /* everything below, and what job.h says */
    pthread_cond_t reader_wake;
    struct copyengine_job *jobs;
    unsigned job_count;
    atomic_bool stopping; /* also read without the lock */
    bool alone;           /* without threads of its own */
    unsigned worker_count;
    unsigned waiting_workers; /* those that have taken files of something that they wait for */
    unsigned idle_workers[2]; /* of those that do not wait, and of those that do */
    struct worker *workers[WORKERS_MAX];
    unsigned reader_count;
    unsigned readers_idle;
    unsigned readers_waiting;  /* those that may hang: see schedule.c */
    unsigned readers_starting; /* of reader_count, those that have not come yet */
    pthread_t readers[READERS_MAX];
    struct canceller canceller;

    atomic_ullong completed; /* files and pieces of files: what the tuners go by. Last, because each
                                file changes it: what all read is in other cache lines */
};

/** Work that a worker has taken: files [next, end) of a batch, a range of a shared file, or a
 * directory to be read. */
struct slice {
    struct batch *batch; /* NULL: none */
    unsigned next;
    unsigned end;
    struct file *file; /* NULL: none */
    uint64_t offset;
    uint64_t range_end;
    struct directory *directory; /* NULL: none */
};

/**
 * As copyengine_new, with a backend of the caller's. For tests.
 *
 * @param backend NULL: as the options say
 */
int engine_new(const struct copyengine_options *options, const struct io_backend *backend,
               struct copyengine **ret, struct copyengine_error *ret_error);

/** Removes a tree without any thread but the caller's. @param ret the job, which is done */
int engine_remove_alone(const struct copyengine_removal *removal, struct copyengine_job **ret);

/** Takes a job off the list of those that have work. */
void engine_remove_job(struct copyengine *engine, struct copyengine_job *job);

/** Starts threads until there are as many workers and readers. With the engine's lock held. */
int engine_start_threads(struct copyengine *engine, unsigned workers, unsigned readers);

/**
 * What a thread of the engine does first: a umask of its own, its I/O priority.
 *
 * @return whether it leaves a processor to others
 */
bool engine_enter_thread(struct copyengine *engine);

/** Leaves a processor to others, or does no longer, when that was asked for: see
 * copyengine_leave_processor(). @param one_is_left what the calling thread does so far */
void engine_choose_processors(const struct copyengine *engine, bool *one_is_left);

/** Something completed: counts it, and lets the tuners look now and then. */
void engine_count(struct copyengine *engine);

/** Sees to it that a cancelled job ends soon. */
void cancel_watch(struct copyengine_job *job);

/** Ends the canceller; the engine is stopping. Without the lock. */
void cancel_stop(struct copyengine *engine);

/**
 * Waits for a directory that a reader should read now, of the job that has had least.
 *
 * @return NULL: the engine stops
 */
struct directory *schedule_take_directory(struct copyengine *engine);

/** Adds the root of a tree: a job begins, or a copy that failed is cleaned up. */
void schedule_add_root(struct copyengine *engine, struct copyengine_job *job,
                       struct directory *root);

/**
 * Adds what was found in a directory that was taken.
 *
 * @param more        it is not at its end, and to be read again
 * @param directories found in it, linked by `next`
 * @param batches     of files, linked by `next`
 */
void schedule_add(struct copyengine *engine, struct directory *directory, bool more,
                  struct directory *directories, struct batch *batches);

/** Adds batches that no reader found. */
void schedule_add_batches(struct copyengine *engine, struct copyengine_job *job,
                          struct batch *batches);

/** Adds a shared file, of which no range is taken. */
void schedule_add_file(struct copyengine *engine, struct copyengine_job *job, struct file *file);

/**
 * Takes files to copy, a range, or a directory to be read, of the job that has had least. Marks the
 * worker as idle when there is nothing to do.
 *
 * @return false: nothing
 */
bool schedule_take_slice(struct copyengine *engine, struct worker *worker, struct slice *ret);

/** What a job has had so far, in bytes, weighed by its priority. */
unsigned long long schedule_service(struct copyengine_job *job);
