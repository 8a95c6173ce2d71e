/*
 * Who does what next: which directory a reader reads, which files a worker copies, of all jobs of
 * an engine; and how many threads there are for it. Knows jobs, and of a worker only its seat; how
 * a file is copied, or a thread started, is others' business. See schedule.c.
 */
#pragma once

#include "engine/delay.h"
#include "engine/io.h"
#include "engine/tuner.h"

#include <pthread.h>
#include <stdatomic.h>

struct batch;
struct copyengine_job;
struct device_pair;
struct directory;
struct file;

enum {
    WORKERS_MAX = 1024,
    READERS_MAX = 160, /* many more than one server may have: see schedule.c */
};

/** A worker as the schedule knows it. Part of the worker, which fills in all but the marked. */
struct seat {
    unsigned number;
    bool blocking; /* beyond the processors: takes only what needs a thread for each operation */
    const struct io_port *port; /* whose `wake` wakes the worker */
    struct delay_list delays;   /* read and changed by the worker's own thread only */
    /* The schedule's, under its lock: */
    bool idle;
    struct device_pair *pair; /* of a blocking worker: of what it has taken; NULL: nothing */
};

/** How the schedule has threads started. Called with its lock held. */
struct schedule_threads {
    /** @return 0 or -errno */
    int (*start_worker)(void *context, unsigned number, struct seat **ret);
    int (*start_reader)(void *context, unsigned number);
};

struct schedule {
    const struct schedule_threads *threads; /* NULL: there are none, and the caller does it all */
    void *threads_context;
    struct tuner in_flight_tuner; /* operations at once, where they wait for a disk or a server */
    struct tuner workers_tuner;   /* workers, where they do not wait */
    unsigned processors;          /* so many workers are not blocking */
    unsigned batches_max;         /* queued at once: each keeps descriptors open */
    bool queues;                  /* workers that are not blocking queue what would block */

    pthread_mutex_t lock; /* everything below, and what job.h says */
    pthread_cond_t reader_wake;
    struct copyengine_job *jobs;
    unsigned job_count;
    atomic_bool stopping; /* also read without the lock */
    struct seat *seats[WORKERS_MAX];
    unsigned seat_count;
    unsigned idle_seats[2];   /* [blocking] */
    unsigned blocked_workers; /* blocking ones that have taken something */
    unsigned reader_count;
    unsigned idle_readers;
    unsigned blocked_readers;  /* that read what may hang */
    unsigned starting_readers; /* of reader_count, those whose thread has not begun yet */

    atomic_ullong completed; /* files and ranges of files: what the tuners go by. Last, because each
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
 * Begins without threads; processors, batches_max, queues and the tuners are the caller's to set.
 *
 * @param threads         NULL: there will be none
 * @param threads_context handed to its functions
 */
void schedule_init(struct schedule *schedule, const struct schedule_threads *threads,
                   void *threads_context);
void schedule_destroy(struct schedule *schedule);

/** Starts threads until there are as many. @return 0 or -errno of the first that did not start */
int schedule_start_threads(struct schedule *schedule, unsigned workers, unsigned readers);

/**
 * Stops: readers that wait for a directory return without one. The caller has to wake the workers.
 *
 * @return whether jobs are left, of which threads hang
 */
bool schedule_stop(struct schedule *schedule);

static inline bool schedule_is_stopping(struct schedule *schedule)
{
    return atomic_load(&schedule->stopping);
}

/**
 * Takes in a job, and begins with it. The schedule keeps a reference until the job has ended.
 *
 * @param job with one reference, which is taken over on failure
 * @param ret the job, set before it begins
 * @return    0, -ENOMEM
 */
int schedule_submit(struct schedule *schedule, struct copyengine_job *job,
                    struct copyengine_job **ret);

/** Adds the root of a tree that is to be read: its job begins, or a copy that failed is removed. */
void schedule_add_root(struct schedule *schedule, struct directory *root);

/** Takes out a job of which nothing is under way. */
void schedule_remove_job(struct schedule *schedule, struct copyengine_job *job);

/** A reader's thread has begun. */
void schedule_enter_reader(struct schedule *schedule);

/**
 * Waits for a directory that a reader should read now, of the job that has had least.
 *
 * @return NULL: the schedule was stopped
 */
struct directory *schedule_take_directory(struct schedule *schedule);

/**
 * Gives back a directory that was taken, with what was found in it.
 *
 * @param more        it is not at its end, and to be read again
 * @param directories found in it, linked by `next`
 * @param batches     of files, linked by `next`
 */
void schedule_give_directory(struct schedule *schedule, struct directory *directory, bool more,
                             struct directory *directories, struct batch *batches);

/** Adds batches that no reader found. */
void schedule_add_batches(struct schedule *schedule, struct copyengine_job *job,
                          struct batch *batches);

/** Adds a shared file, of which no range is taken. */
void schedule_add_file(struct schedule *schedule, struct copyengine_job *job, struct file *file);

/**
 * Takes files to copy, a range, or a directory to be read, of the job that has had least. Marks the
 * worker as idle when there is nothing to do.
 *
 * @param seat the calling worker's
 * @return     false: nothing
 */
bool schedule_take_slice(struct schedule *schedule, struct seat *seat, struct slice *ret);

/** A file or a range was completed: counts it, and lets the tuners measure now and then. */
void schedule_count_completed(struct schedule *schedule);
