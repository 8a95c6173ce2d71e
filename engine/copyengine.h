/*
 * libcopyengine: copies and removes directory trees, many files at a time.
 *
 * An engine owns threads. Callers submit jobs to it; it runs them side by side, and reports through
 * callbacks. It knows files, rings and threads, and nothing of packages.
 *
 *     struct copyengine *engine;
 *     struct copyengine_copy copy = {
 *         .size = sizeof(copy),
 *         .source = "/svr/tools",
 *         .destination_dirfd = AT_FDCWD,
 *         .destination = "/tmp/tools",
 *     };
 *     int result = copyengine_new(NULL, &engine, NULL);
 *     if (result == 0) {
 *         result = copyengine_copy_tree(engine, &copy, NULL);
 *         copyengine_free(engine);
 *     }
 *
 * Structures that begin with `size` may grow at their end. Set `size` to their sizeof and the rest
 * to zero: a member that you do not set has its default, in this version and in later ones. What a
 * callback or copyengine_wait gives is made by the library and may grow at its end: read it, and do
 * not copy or allocate it.
 */
#pragma once

#include "copyengine_version.h" /* installed beside this one */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COPYENGINE_PUBLIC __attribute__((visibility("default")))
/* Not NULL: these parameters, counted from 1. */
#define COPYENGINE_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define COPYENGINE_CHECKED      __attribute__((warn_unused_result))

struct copyengine;
struct copyengine_job;

/** @return COPYENGINE_VERSION of the library that runs */
COPYENGINE_PUBLIC int copyengine_version(void);

/** Which implementation carries out the operations. */
enum copyengine_backend {
    COPYENGINE_AUTO,    /* the ring where the kernel has all that it needs, else threads */
    COPYENGINE_RING,    /* io_uring; without it there is no engine */
    COPYENGINE_THREADS, /* plain system calls */
};

/** What becomes of symbolic links. */
enum copyengine_symlinks {
    COPYENGINE_SYMLINKS_KEEP,     /* a link of the copy reaches what it reached at the source */
    COPYENGINE_SYMLINKS_PRESERVE, /* a link of the copy has the same target text */
    COPYENGINE_SYMLINKS_FOLLOW,   /* the copy has what the link reaches; a loop is an error */
};

/**
 * What went wrong first. A job's error belongs to the job, and ends with copyengine_job_free. The
 * calls that have no job fill in an error of the caller's, who frees what it holds with
 * copyengine_error_clear. This structure never grows.
 */
struct copyengine_error {
    int code; /* an errno value, positive; 0: nothing went wrong, and the rest is NULL */
    const char *operation;   /* "open", "read", …; static */
    const char *path;        /* of the file, shortened to "..." and its end when it is very long;
                                NULL: no file is concerned, or there was no memory */
    const char *explanation; /* why, in words, where errno alone would mislead; static; or NULL */
};

struct copyengine_options {
    size_t size;                     /* sizeof(struct copyengine_options) */
    enum copyengine_backend backend; /* default: auto */
    unsigned in_flight;              /* operations at once, at most; 0: the engine finds out */
    uint64_t bytes_per_s;            /* bandwidth of all jobs together; 0: no limit */
    bool idle_priority;              /* use the disk only when no other process does
                                        (ioprio_set(2)) */
};

/** What a job has completed so far. */
struct copyengine_progress {
    size_t size; /* sizeof(struct copyengine_progress); in callbacks and results, the library's */
    uint64_t files;
    uint64_t directories;
    uint64_t symlinks;
    uint64_t skipped; /* sockets, fifos, devices: not copied */
    uint64_t bytes;   /* of contents, holes not counted */
};

struct copyengine_result {
    struct copyengine_error error;
    const struct copyengine_progress *progress;
    mode_t root_mode;           /* permission bits that the root of the copy is to have */
    struct timespec root_mtime; /* the modification time that it is to have */
};

/** Which jobs go first when they compete. Each makes some progress. */
enum copyengine_priority {
    COPYENGINE_NORMAL,
    COPYENGINE_INTERACTIVE, /* a person or a program waits for it */
    COPYENGINE_BULK,        /* none waits for it */
};

/** A tree to copy. copyengine_submit_copy copies the strings. */
struct copyengine_copy {
    size_t size;           /* sizeof(struct copyengine_copy) */
    const char *source;    /* a directory, or a symbolic link to one */
    int destination_dirfd; /* where `destination` starts: AT_FDCWD or a directory that stays open */
    const char *destination; /* must not exist; its parent must */
    enum copyengine_symlinks symlinks;
    bool root_stays_writable; /* the root of the copy keeps u+rwx, so that it can still be renamed;
                                 the caller then sets root_mode and root_mtime of the result */
    /*
     * A thread of the engine calls this when an operation completed and the last call is at least
     * progress_interval_ms ago; there is no timer, so while nothing completes there is no call. One
     * job has one call at a time. The engine's threads have stacks of 256 KiB. When it returns
     * anything but 0, the job is cancelled, as by copyengine_cancel, and only on_done is called
     * after that.
     */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms; /* default: 200 */
    /* A thread of the engine calls this when it leaves something out, or copies it otherwise than
       asked. One job has one call at a time. */
    void (*on_warning)(void *context, const char *path, const char *text);
    /* The last call for this job, by a thread of the engine. From now on, copyengine_wait returns
       at once. This function must not free the job. */
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
    uint64_t bytes_per_s; /* bandwidth of this job; 0: only the engine's limit */
    bool owner;           /* keep user and group: needs root */
    bool set_id;          /* keep set-user-ID and set-group-ID bits, and capabilities */
    bool digest;          /* take the XXH3-128 of each file whose bytes pass through memory */
    bool manifest;   /* write a manifest of the tree to manifest_fd, with what digests there are */
    int manifest_fd; /* the caller's, who closes it; written to from its position on.
                        engine/manifest.h has the format */
};

/** A tree, or a file, to remove. copyengine_submit_removal copies the string. */
struct copyengine_removal {
    size_t size; /* sizeof(struct copyengine_removal) */
    int dirfd;   /* where `path` starts: AT_FDCWD or a directory that stays open */
    const char
        *path; /* its last name must not be "." or ".."; it is no error if there is nothing */
    /* As for copies. In the progress, `files` counts all that are not directories. */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms;
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
};

/** A tree to read. copyengine_submit_scan copies the string. */
struct copyengine_scan {
    size_t size;      /* sizeof(struct copyengine_scan) */
    const char *path; /* a directory; a symbolic link is not followed */
    int manifest_fd;  /* the caller's, who closes it; written to from its position on.
                         engine/manifest.h has the format */
    double sample;    /* the fraction of files whose contents are read, above 0; 0 or 1: all */
    uint64_t seed;    /* chooses these files: another seed, other files */
    /* As for copies. */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms;
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
};

/**
 * Starts an engine. Raises the limit of open files of this process to what the system allows. While
 * a job has relative paths, the process must not change its working directory (chdir(2)).
 *
 * @param options   NULL: the defaults
 * @param ret       the engine; the caller ends it with copyengine_free
 * @param ret_error may be NULL; says why there is no engine: see struct copyengine_error
 * @return          0; -EINVAL (options), -ENOMEM, -EAGAIN (threads), or what io_uring_setup(2)
 *                  answered when the ring was demanded
 */
COPYENGINE_PUBLIC int copyengine_new(const struct copyengine_options *options,
                                     struct copyengine **ret, struct copyengine_error *ret_error)
    COPYENGINE_NONNULL(2) COPYENGINE_CHECKED;

/**
 * Ends an engine whose jobs are all done. While operations of cancelled jobs still hang, their
 * threads and their memory stay until the process ends. NULL is allowed.
 */
COPYENGINE_PUBLIC void copyengine_free(struct copyengine *engine);

/** @return which backend runs and why, for people; belongs to the engine */
COPYENGINE_PUBLIC const char *copyengine_backend_description(const struct copyengine *engine)
    COPYENGINE_NONNULL(1);

/**
 * Submits a copy. Errors of files show in the job's result, not here. A copy that fails removes
 * what it made. Each job keeps descriptors open, and each time that a thread looks for work it
 * compares all jobs: a caller with thousands of them submits a few hundred at a time.
 *
 * @param ret the job; the caller frees it with copyengine_job_free when it is done
 * @return    0, -EINVAL, -ENOMEM
 */
COPYENGINE_PUBLIC int copyengine_submit_copy(struct copyengine *engine,
                                             const struct copyengine_copy *copy,
                                             struct copyengine_job **ret)
    COPYENGINE_NONNULL(1, 2, 3) COPYENGINE_CHECKED;

/**
 * Waits until a job is done.
 *
 * @return its result, which belongs to the job
 */
COPYENGINE_PUBLIC const struct copyengine_result *copyengine_wait(struct copyengine_job *job)
    COPYENGINE_NONNULL(1);

/**
 * Submits a removal. Removes read-only directories, too, and removes symbolic links without
 * following them. A removal that fails leaves a part of the tree.
 *
 * @param ret as of copyengine_submit_copy
 * @return    0, -EINVAL, -ENOMEM
 */
COPYENGINE_PUBLIC int copyengine_submit_removal(struct copyengine *engine,
                                                const struct copyengine_removal *removal,
                                                struct copyengine_job **ret)
    COPYENGINE_NONNULL(1, 2, 3) COPYENGINE_CHECKED;

/**
 * Submits a scan. It writes everything in a tree into a manifest, files with digests of what the
 * disk has: it reads them past the page cache (O_DIRECT) where the file system allows that. A file
 * that cannot be read goes into the manifest, too, and does not end the scan; a root that cannot be
 * opened does.
 *
 * @param ret as of copyengine_submit_copy
 * @return    0, -EINVAL, -ENOMEM, or why no descriptor can be opened
 */
COPYENGINE_PUBLIC int copyengine_submit_scan(struct copyengine *engine,
                                             const struct copyengine_scan *scan,
                                             struct copyengine_job **ret)
    COPYENGINE_NONNULL(1, 2, 3) COPYENGINE_CHECKED;

/**
 * Cancels a job: it ends early with ECANCELED, and removes what it made. Returns at once. The job
 * ends soon, also when its source does not answer: then an operation still hangs in a thread of the
 * engine, but changes nothing when it returns.
 */
COPYENGINE_PUBLIC void copyengine_cancel(struct copyengine_job *job) COPYENGINE_NONNULL(1);

/**
 * Whether a file system is on another machine, or served by another process (FUSE), so that it may
 * change without this machine's kernel. Its type decides.
 *
 * @param fd any open file of it
 */
COPYENGINE_PUBLIC bool copyengine_is_remote(int fd);

/**
 * Keeps one processor free of copying: the threads of all engines of this process run on all of its
 * processors but one, if there are several. For a program that has to answer requests while it
 * copies. When copies keep all processors busy, a thread that wakes up to answer may have to wait
 * for the scheduler's next tick, because it has just used more than its share (EEVDF).
 *
 * @param leave true: from its next file on, each thread leaves that processor free; false, as it is
 *              at first: the threads use all processors
 */
COPYENGINE_PUBLIC void copyengine_leave_processor(bool leave);

/** Frees a job that is done. NULL is allowed. */
COPYENGINE_PUBLIC void copyengine_job_free(struct copyengine_job *job);

/**
 * Gives what a job has done so far, at any time.
 *
 * @param ret the caller sets its size, and no more than that is filled in
 */
COPYENGINE_PUBLIC void copyengine_job_progress(const struct copyengine_job *job,
                                               struct copyengine_progress *ret)
    COPYENGINE_NONNULL(1, 2);

/**
 * Copies a tree, and waits until that is done: copyengine_submit_copy, copyengine_wait,
 * copyengine_job_free.
 *
 * @param ret_error may be NULL; says which file failed, and why; the caller ends it with
 *                  copyengine_error_clear
 * @return          0 or -errno
 */
COPYENGINE_PUBLIC int copyengine_copy_tree(struct copyengine *engine,
                                           const struct copyengine_copy *copy,
                                           struct copyengine_error *ret_error)
    COPYENGINE_NONNULL(1, 2) COPYENGINE_CHECKED;

/**
 * Removes a tree, and waits until that is done.
 *
 * @param engine    NULL: the calling thread does it alone
 * @param dirfd     where `path` starts
 * @param ret_error may be NULL; names the file that could not be removed; the caller ends it with
 *                  copyengine_error_clear
 * @return          0, also when there was nothing; or -errno
 */
COPYENGINE_PUBLIC int copyengine_remove_tree(struct copyengine *engine, int dirfd, const char *path,
                                             struct copyengine_error *ret_error)
    COPYENGINE_NONNULL(3);

/** Writes "operation path: why" into a buffer. @return the buffer */
COPYENGINE_PUBLIC const char *copyengine_error_text(const struct copyengine_error *error,
                                                    char *buffer, size_t size)
    COPYENGINE_NONNULL(1, 2);

/**
 * Copies an error, so that it outlives the job that it belongs to.
 *
 * @param ret the copy; the caller ends it with copyengine_error_clear. Without memory, it has no
 *            path
 */
COPYENGINE_PUBLIC void copyengine_error_copy(const struct copyengine_error *error,
                                             struct copyengine_error *ret) COPYENGINE_NONNULL(1, 2);

/**
 * Frees what an error of the caller's holds, and sets all of it to zero. After a call that
 * succeeded there is nothing to free, and this does no harm.
 */
COPYENGINE_PUBLIC void copyengine_error_clear(struct copyengine_error *error) COPYENGINE_NONNULL(1);

#ifdef __cplusplus
}
#endif
