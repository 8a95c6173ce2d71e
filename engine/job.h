/*
 * One job: what was asked for, what is done, what went wrong first. Knows how far it is, not how to
 * get on.
 */
#pragma once

#include "engine/copyengine.h"
#include "engine/device.h"
#include "engine/io.h"
#include "engine/limit.h"

#include <pthread.h>

struct batch;
struct directory;
struct file;
struct hard_links;
struct manifest;

enum job_kind {
    JOB_COPY,
    JOB_REMOVAL,
    JOB_SCAN, /* reads a tree, and copies nothing */
};

struct copyengine_job {
    struct copyengine *engine;
    enum job_kind kind;          /* a copy that failed becomes the removal of what it made */
    struct copyengine_copy copy; /* its strings are the job's own; a removal has the destination,
                                    a scan the source */
    uint64_t sample_below;       /* of a scan: files whose name hashes to less are read */
    uint64_t sample_seed;

    /* Known when the root was opened, fixed from then on. */
    enum io_latency source_latency;
    enum io_latency destination_latency;
    struct device_pair *pair;
    unsigned workers_max;         /* more would only contend for the destination's locks */
    atomic_bool destination_made; /* there is something to remove when the job fails */
    bool modes_need_setting;      /* a umask or a default ACL changes the mode given to open */
    mode_t inherited_bits;        /* set-gid, which directories take over from their parent */
    char *root_absolute; /* the source as given, made absolute: what a link "into the tree" means */
    char *root_resolved; /* the same with every link on the way resolved */
    int root_fd;         /* of the destination; belongs to the root's directory */
    dev_t root_device;   /* of the destination, too */
    ino_t root_inode;

    /* Under the engine's lock: see schedule.c. */
    struct copyengine_job *next;
    struct batch *first_batch;
    struct batch *last_batch;
    struct file *files; /* large ones, with ranges that nobody has taken */
    unsigned waiting_files;
    unsigned waiting_batches;
    bool has_plenty;                       /* so much waits that nobody reads on */
    bool waits;                            /* each operation needs a thread */
    bool read_by_workers;                  /* they read the directories, too */
    struct directory *waiting_directories; /* a stack */
    unsigned readers_active;               /* workers that read included */

    struct hard_links *hard_links; /* NULL: none was seen yet */
    struct manifest *manifest;     /* NULL: none was asked for */
    struct limit limit;

    atomic_bool stopped;     /* failed or cancelled: nothing new is begun */
    atomic_bool xattrs_lost; /* its owner was warned of that */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    unsigned references; /* the caller's, and the engine's as long as anything is under way */
    bool cleaning_up;    /* a copy that failed is being removed again */
    bool ended;          /* the result stands */
    bool done;           /* on_done has returned */
    bool silent;         /* nothing is reported any more; under report_lock */
    struct copyengine_result result;

    /* Under the engine's lock: see cancel.c. */
    struct copyengine_job *next_cancelled;
    uint64_t abandon_at_ns; /* CLOCK_MONOTONIC; 0: not cancelled */

    /* Completed. Relaxed: each is right by itself, and all are when the job is done. Last, because
     * each file changes them: what all processors read meanwhile is in other cache lines. */
    atomic_ullong files_done;
    atomic_ullong directories_done;
    atomic_ullong symlinks_done;
    atomic_ullong skipped;
    atomic_ullong bytes_done;
    atomic_ullong service;     /* attained so far, in bytes; a file counts some more */
    atomic_ullong reported_ns; /* when on_progress was last called */
    pthread_mutex_t report_lock;
};

/** @return 0, -EINVAL, -ENOMEM */
int job_new_copy(struct copyengine *engine, const struct copyengine_copy *copy,
                 struct copyengine_job **ret);

/** @return 0, -EINVAL, -ENOMEM */
int job_new_removal(struct copyengine *engine, const struct copyengine_removal *removal,
                    struct copyengine_job **ret);

/** @return 0, -EINVAL, -ENOMEM, or why there is no descriptor for the manifest */
int job_new_scan(struct copyengine *engine, const struct copyengine_scan *scan,
                 struct copyengine_job **ret);

/** Drops one reference to a job, of which the last frees it. */
void job_release(struct copyengine_job *job);

static inline bool job_is_stopped(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->stopped, memory_order_relaxed);
}

/** How long operations at the source may take, by what is known now. */
static inline enum io_latency job_source_latency(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->pair->no_inline, memory_order_relaxed) ? IO_REMOTE
                                                                             : job->source_latency;
}

/** Which of the two trees a path is in. */
enum job_side {
    JOB_SOURCE,
    JOB_DESTINATION,
};

/**
 * Stops a job with an error, if it is the first.
 *
 * @param operation what failed, in one word; static
 * @param directory where; NULL: at the root
 * @param name      in that directory; NULL: the directory itself
 * @param code      an errno value, positive
 */
void job_fail(struct copyengine_job *job, const char *operation, enum job_side side,
              const struct directory *directory, const char *name, int code);

/** Like job_fail, with words, which are static, where the errno alone would mislead. */
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

/**
 * Everything that was begun has ended. Ends the job; or, if it was a copy that failed, and made
 * something, turns it into the removal of that.
 */
void job_finish(struct copyengine_job *job);

/** Ends a job for its owner: from now on the result stands, and on_done was called. */
void job_end(struct copyengine_job *job);

/** Ends a job for its owner although operations of it hang. What was made is removed. */
void job_abandon(struct copyengine_job *job);
