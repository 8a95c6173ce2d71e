/* What a schedule consists of: for those that carry it out (schedule.c, slices.c). */
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
    size_t parts_bytes;        /* of the supplies' parts that are taken: memory */

    atomic_ullong completed; /* files and ranges of files: what the tuners go by. Last, because each
                                file changes it: what all read is in other cache lines */
};

/** Work that a worker has taken: files [next, end) of a batch, a range of a shared file, a
 * directory to be read, or units of a supply. */
struct slice {
    struct batch *batch; /* NULL: none */
    unsigned next;
    unsigned end;
    struct file *file; /* NULL: none */
    uint64_t offset;
    uint64_t range_end;
    struct directory *directory;     /* NULL: none */
    struct copyengine_job *supplied; /* NULL: none */
    size_t unit;
    size_t unit_end; /* more than one: the job has stopped, and they are only let go of */
};
