/*
 * One job: what was asked for, what is done, what went wrong first. Knows how far it is, not how to
 * get on.
 */
#pragma once

#include "engine/copyengine.h"
#include "engine/device.h"

#include <pthread.h>

struct batch;
struct directory;

struct copyengine_job {
    struct copyengine *engine;
    struct copyengine_copy copy; /* its strings are the job's own */

    /* Known when the root was opened, fixed from then on. */
    enum io_latency source_latency;
    enum io_latency destination_latency;
    struct device_pair pair;
    bool destination_made;   /* there is something to remove when the job fails */
    bool modes_need_setting; /* a umask or a default ACL changes the mode given to open */
    mode_t inherited_bits;   /* set-gid, which directories take over from their parent */
    char *root_absolute; /* the source as given, made absolute: what a link "into the tree" means */
    char *root_resolved; /* the same with every link on the way resolved */

    /* Under the engine's lock: see schedule.c. */
    struct copyengine_job *next;
    struct batch *first_batch;
    struct batch *last_batch;
    unsigned waiting_files;
    unsigned waiting_batches;
    bool has_plenty;                       /* so much waits that nobody reads on */
    struct directory *waiting_directories; /* a stack */
    unsigned readers_active;

    /* Completed. Relaxed: each is right by itself, and all are when the job is done. */
    atomic_ullong files;
    atomic_ullong directories;
    atomic_ullong symlinks;
    atomic_ullong skipped;
    atomic_ullong bytes;
    atomic_ullong service;     /* attained so far, in bytes; a file counts some more */
    atomic_ullong reported_ns; /* when on_progress was last called */
    pthread_mutex_t report_lock;

    atomic_bool stopped; /* failed or cancelled: nothing new is begun */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool ended; /* the result stands */
    bool done;  /* on_done has returned */
    struct copyengine_result result;
};

/** @return 0, -EINVAL, -ENOMEM */
int job_new(struct copyengine *engine, const struct copyengine_copy *copy,
            struct copyengine_job **ret);

static inline bool job_is_stopped(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->stopped, memory_order_relaxed);
}

/** Which of the two trees a path is in. */
enum job_side {
    JOB_SOURCE,
    JOB_DESTINATION,
};

/**
 * Stops a job with an error, if it is the first.
 *
 * @param operation what failed, in one word
 * @param directory where; NULL: at the root
 * @param name      in that directory; NULL: the directory itself
 * @param code      an errno value, positive
 */
void job_fail(struct copyengine_job *job, const char *operation, enum job_side side,
              const struct directory *directory, const char *name, int code);

/** Like job_fail, with words where the errno alone would mislead. */
void job_fail_because(struct copyengine_job *job, const char *operation, enum job_side side,
                      const struct directory *directory, const char *name, int code,
                      const char *explanation);

/** Tells the job's owner that something was left out. */
void job_warn(struct copyengine_job *job, const struct directory *directory, const char *name,
              const char *text);

/** Counts `bytes` moved, and one completion: progress is reported when it is time to. */
void job_moved(struct copyengine_job *job, uint64_t bytes);

/** Counts one completed file, link, directory or skipped file in `counter`. */
void job_completed(struct copyengine_job *job, atomic_ullong *counter);

/** Ends a job: everything that was begun has ended. Removes the copy if it failed. */
void job_finish(struct copyengine_job *job);
