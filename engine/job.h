/*
 * One job: what was asked for, what is done, what went wrong first. Knows how far it is, not how to
 * get on: that is the schedule's, and its kind's. How a job ends is in finish.h.
 */
#pragma once

#include "engine/copyengine.h"
#include "engine/digest.h"
#include "engine/engine_common.h"
#include "engine/hard_link.h"
#include "engine/io.h"

#include <pthread.h>

struct batch;
struct directory;
struct dirent64;
struct file;
struct finding;
struct manifest;
struct supply;
struct transfer;

/** Which of the two trees a path is in. */
enum job_side {
    JOB_SOURCE,
    JOB_DESTINATION,
};

/**
 * What differs between the kinds of jobs: copy.c, remove.c, scan.c and supply.c have one
 * each. All but
 * `finish` are for jobs that have not stopped; those that answer false have failed their job, or
 * are through with the directory.
 */
struct job_kind {
    const char *verb;              /* "copy", …: the operation in the error of a cancelled job */
    enum job_side side;            /* of its root, in errors */
    bool removes;                  /* its directories are read to be emptied: by readers, at once */
    bool read_by_workers_when_hot; /* workers read its directories while they are in memory */

    /** Opens a directory that is about to be read, and makes what belongs to it. */
    bool (*open)(const struct io_port *port, struct directory *directory);
    /** An entry was found in it: adds it to the finding, or does at once what is to be done. */
    bool (*entry)(struct finding *finding, struct directory *directory,
                  const struct dirent64 *entry);
    /** A directory could not be read to its end. @param code an errno value, positive */
    void (*unreadable)(struct directory *directory, int code);
    /** Sets the first step of a transfer that begins with a file. NULL: there are no files. */
    void (*begin)(struct transfer *transfer);
    /** Sets the step of a transfer that has copied a whole file. NULL: that of a copy. */
    void (*copied)(struct transfer *transfer);
    /** A file of a batch is done, or given up, or never begun. NULL: nobody else knows it. */
    void (*end_file)(const struct io_port *port, struct file *file);
    /** Everything in a directory is done. */
    void (*complete)(const struct io_port *port, struct directory *directory);
    /** Everything is done, or nothing is under way of a job that has stopped. */
    void (*finish)(struct copyengine_job *job);
    /** A directory is about to be freed, whatever became of it. NULL: nobody else knows it. */
    void (*forget)(struct directory *directory);
    /** Frees what a job of this kind has beside. NULL: nothing. */
    void (*destroy)(struct copyengine_job *job);
};

struct copyengine_job {
    struct engine_common *common;
    const struct job_kind *kind;       /* a copy that failed becomes the removal of what it made */
    const struct job_kind *asked_kind; /* as what it was submitted */
    struct copyengine_copy copy; /* its strings are the job's own; a removal has the destination,
                                    a scan the source */
    int source_dirfd;            /* where the source's path starts */
    struct supply *supply;       /* what it is made of; NULL: it is no supply */
    uint64_t moved_number;       /* of a removal: see remove.c */
    atomic_uint moved_count;     /* of a removal: directories that were moved up */
    bool counts_bytes;           /* of a removal */
    bool one_mount;              /* of a scan: what is mounted in the tree is not entered */
    uint64_t sample_below;       /* of a scan: files whose name hashes to less are read */
    uint64_t sample_seed;
    enum digest_kind digest_kind; /* as the manifest's version says */

    /* Known when the root was opened, fixed from then on. */
    enum io_latency source_latency;
    enum io_latency destination_latency;
    struct device_pair *pair;
    uint64_t source_mount;          /* what the root of the source is on, as source_mount() says */
    struct device_pair *donor_pair; /* of a supply with donors, which are where the destination is:
                                       their file system, and that; else NULL */
    unsigned workers_max;           /* more would only contend for the destination's locks */
    atomic_bool destination_made;   /* there is something to remove when the job fails */
    bool modes_need_setting;        /* a umask or a default ACL changes the mode given to open */
    mode_t inherited_bits;          /* set-gid, which directories take over from their parent */
    char *root_absolute; /* the source as given, made absolute: what a link "into the tree" means */
    char *root_resolved; /* the same with every link on the way resolved */
    int root_fd;         /* of the destination; belongs to the root's directory */
    dev_t root_device;   /* of the destination, too */
    ino_t root_inode;
    dev_t parent_device; /* of the directory that the destination is made in */
    ino_t parent_inode;

    /* Under the schedule's lock: see schedule.c. */
    struct copyengine_job *next;
    struct batch_queue batches;
    struct batch_queue local_batches; /* of a supply, whose donors are on this machine: for workers
                                         that do not block, whatever the source is */
    struct file *untaken_files;       /* large ones, with ranges that nobody has taken */
    unsigned queued_files;            /* of the batches, those that nobody has taken */
    unsigned queued_batches;
    unsigned queued_local_files;          /* of the local batches */
    bool back_pressure;                   /* so much is queued that nobody reads on */
    bool blocking;                        /* its operations block: each needs a thread */
    bool read_by_workers;                 /* they read the directories, too */
    struct directory *unread_directories; /* a stack */
    unsigned active_readers;              /* workers that read included */
    const size_t *part_bytes; /* of a supply: how large its parts are, which come first ... */
    size_t part_count;        /* ... among its units */
    size_t untaken_unit;      /* the first that nobody has taken */
    size_t ready_units;       /* those before may be taken: what is to be made of them is known */
    size_t unit_count;        /* 0: as long as its root is not made */

    struct hard_links hard_links;
    struct manifest *manifest; /* NULL: none was asked for */
    struct limit limit;

    atomic_ullong files_found; /* so far; written under the schedule's lock, as `walked` */
    atomic_bool walked;        /* all directories were read */

    atomic_bool stopped; /* failed or cancelled: nothing new is begun */
    /* Its owner was warned: */
    atomic_bool xattrs_unread;  /* of the first file whose xattrs cannot be read */
    atomic_bool xattrs_lost;    /* that the destination has none, or not of all kinds */
    atomic_bool modes_lost;     /* of the first mode that the destination does not keep */
    atomic_bool times_lost;     /* of the first time that the destination does not keep */
    atomic_bool modes_narrowed; /* some, since their ACLs were lost */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    unsigned references; /* the caller's, and the schedule's as long as anything is under way */
    bool cleaning_up;    /* a copy that failed is being removed again */
    atomic_bool remains; /* not all of it could be, and that was said */
    bool ended;          /* the result stands */
    bool done;           /* on_done has returned */
    bool silent;         /* nothing is reported any more; under report_lock */
    uint64_t warnings;   /* said and not said; under report_lock */
    struct copyengine_result result;
    struct copyengine_progress last_progress; /* of the result */

    /* Under the canceller's lock: see cancel.c. */
    struct copyengine_job *next_cancelled;
    uint64_t abandon_at_ns; /* CLOCK_MONOTONIC; 0: not cancelled */

    /* Completed. Relaxed: each is right by itself, and all are when the job is done. Last, because
     * each file changes them: what all processors read meanwhile is in other cache lines. */
    atomic_ullong files_done;
    atomic_ullong directories_done;
    atomic_ullong symlinks_done;
    atomic_ullong skipped;
    atomic_ullong bytes_done;
    atomic_ullong arrivals;
    atomic_ullong taken_files[3]; /* of a supply; [enum copyengine_taken] */
    atomic_ullong taken_bytes[3];
    atomic_ullong service;     /* attained so far, in bytes; a file counts some more */
    atomic_ullong reported_ns; /* when on_progress was last called */
    pthread_mutex_t report_lock;
};

/**
 * Makes a job of what `copy` says; of a removal the destination counts, of a scan the source.
 *
 * @param copy checked; the strings are copied. `destination` is not NULL
 * @param ret  with one reference, the caller's
 * @return     0, -ENOMEM, or why there is no descriptor for the manifest
 */
int job_new(struct engine_common *common, const struct job_kind *kind,
            const struct copyengine_copy *copy, struct copyengine_job **ret);

/** Takes a reference. */
void job_reference(struct copyengine_job *job);

/** Drops one reference to a job, of which the last frees it. */
void job_release(struct copyengine_job *job);

static inline bool job_is_stopped(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->stopped, memory_order_relaxed);
}

static inline bool job_follows_links(const struct copyengine_job *job)
{
    return job->copy.symlinks == COPYENGINE_SYMLINKS_FOLLOW;
}

/** How long operations at the source may take, by what is known now. */
static inline enum io_latency job_source_latency(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->pair->no_inline, memory_order_relaxed) ? IO_REMOTE
                                                                             : job->source_latency;
}

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

/** Like job_fail_because, of any path of the source, with words that are copied. */
void job_fail_at(struct copyengine_job *job, const char *operation, const char *path, int code,
                 const char *explanation);

/** Tells the job's owner of a file that is in neither tree. */
void job_warn_of(struct copyengine_job *job, const char *path, const char *text);

/** Tells the job's owner that something was left out, or copied otherwise than asked. Of very many
 * such things the last are only counted. */
void job_warn(struct copyengine_job *job, const struct directory *directory, const char *name,
              const char *text);

/** Nothing is reported any more, but how many warnings were not. */
void job_silence(struct copyengine_job *job);

/** Counts `bytes` moved, and one completion: progress is reported when it is time to. */
void job_moved(struct copyengine_job *job, uint64_t bytes);

/** Counts that it gets on, though nothing else is to be counted. */
void job_arrived(struct copyengine_job *job);

/** Counts a file of a supply that is complete, and tells its owner. */
void job_taken(struct copyengine_job *job, size_t entry, enum copyengine_taken taken,
               uint64_t bytes);

/** Counts one completed file, link, directory or skipped file in `counter`. */
void job_completed(struct copyengine_job *job, atomic_ullong *counter);

/** What a job has had so far, in bytes, weighed by its priority: the one that has had least goes
 * first. */
unsigned long long job_weigh_service(const struct copyengine_job *job);
