/*
 * libcopyengine: copies and removes directory trees, many files at a time.
 *
 * An engine owns threads; jobs are handed to it, run side by side, and report through callbacks.
 * It knows files, rings and threads, and nothing of packages.
 *
 *     struct copyengine *engine;
 *     struct copyengine_copy copy = {
 *         .size = sizeof(copy),
 *         .source = "/svr/tools",
 *         .destination_dirfd = AT_FDCWD,
 *         .destination = "/tmp/tools",
 *     };
 *     copyengine_new(NULL, &engine, NULL);
 *     copyengine_copy_tree(engine, &copy, NULL);
 *     copyengine_free(engine);
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

struct copyengine;
struct copyengine_job;

/** @return COPYENGINE_VERSION of the library that runs */
COPYENGINE_PUBLIC int copyengine_version(void);

/** Which implementation carries out the operations. */
enum copyengine_backend {
    COPYENGINE_AUTO,    /* the ring where the kernel has all it needs, else threads */
    COPYENGINE_RING,    /* io_uring, or no engine at all */
    COPYENGINE_THREADS, /* plain system calls */
};

/** What becomes of symbolic links. */
enum copyengine_symlinks {
    COPYENGINE_SYMLINKS_KEEP,     /* a link of the copy reaches what it reached at the source */
    COPYENGINE_SYMLINKS_PRESERVE, /* copied to the letter */
    COPYENGINE_SYMLINKS_FOLLOW,   /* replaced by what they reach; a loop is an error */
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
    bool idle_priority;              /* only use the disk when nobody else does (ioprio_set(2)) */
};

/** Completed so far. */
struct copyengine_progress {
    uint64_t files;
    uint64_t directories;
    uint64_t symlinks;
    uint64_t skipped; /* sockets, fifos, devices: not copied */
    uint64_t bytes;   /* of contents, holes not counted */
};

struct copyengine_result {
    struct copyengine_error error;
    struct copyengine_progress progress;
    mode_t root_mode;           /* permission bits that the root of the copy shall have */
    struct timespec root_mtime; /* and its modification time */
};

/** Which jobs go first when there is not enough for all. None ever waits for ever. */
enum copyengine_priority {
    COPYENGINE_NORMAL,
    COPYENGINE_INTERACTIVE, /* somebody waits for it */
    COPYENGINE_BULK,        /* nobody does */
};

/** A tree to copy. The strings are copied by copyengine_submit. */
struct copyengine_copy {
    size_t size;           /* sizeof(struct copyengine_copy) */
    const char *source;    /* a directory, or a symbolic link to one */
    int destination_dirfd; /* where `destination` starts: AT_FDCWD or a directory that stays open */
    const char *destination; /* must not exist; its parent must */
    enum copyengine_symlinks symlinks;
    bool root_stays_writable; /* the root of the copy keeps u+rwx, so that it can still be renamed;
                                 root_mode and root_mtime of the result are then yours to set */
    /*
     * Called from the engine's threads, never twice at once for one job, when an operation
     * completed and the last call is at least progress_interval_ms ago. There is no timer behind
     * it: nothing completes, nothing is called. These threads have stacks of 256 KiB. When it
     * returns anything but 0, the job is cancelled, as by copyengine_cancel, and only on_done is
     * called after that.
     */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms; /* default: 200 */
    /* Something was left out, or done otherwise. From the engine's threads, one call at a time. */
    void (*on_warning)(void *context, const char *path, const char *text);
    /* The last call for this job, from one of the engine's threads. copyengine_wait is immediate
       from now on. The job must not be freed in here. */
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
    uint64_t bytes_per_s; /* bandwidth of this job; 0: only the engine's limit */
    bool owner;           /* keep user and group: needs root */
    bool set_id;          /* keep set-user-ID and set-group-ID bits, and capabilities */
    bool digest;          /* take the XXH3-128 of each file whose bytes pass through memory */
    bool manifest;   /* write a manifest of the tree to manifest_fd, with what digests there are */
    int manifest_fd; /* stays yours; written to from its position on. engine/manifest.h has the
                        format */
};

/** A tree, or a file, to remove. The string is copied by copyengine_submit_removal. */
struct copyengine_removal {
    size_t size;      /* sizeof(struct copyengine_removal) */
    int dirfd;        /* where `path` starts: AT_FDCWD or a directory that stays open */
    const char *path; /* its last name must not be "." or ".."; if there is nothing, all is well */
    /* As for copies. In the progress, `files` are all that are no directories. */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms;
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
};

/** A tree to read. The string is copied by copyengine_submit_scan. */
struct copyengine_scan {
    size_t size;      /* sizeof(struct copyengine_scan) */
    const char *path; /* a directory; of a symbolic link, nothing is read */
    int manifest_fd;  /* stays yours; written to from its position on. engine/manifest.h has the
                         format */
    double sample;    /* the share of files whose contents are read, above 0; 0 or 1: all */
    uint64_t seed;    /* which they are: another one, others */
    /* As for copies. */
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms;
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
};

/**
 * Starts an engine. Raises the limit of open files of this process to what the system allows.
 *
 * Its threads keep the working directory that they were started in: as long as jobs have relative
 * paths, it must not be changed (chdir(2)).
 *
 * @param options   NULL: the defaults
 * @param ret       the engine; the caller ends it with copyengine_free
 * @param ret_error may be NULL; says why there is no engine: see struct copyengine_error
 * @return          0; -EINVAL (options), -ENOMEM, -EAGAIN (threads), or what io_uring_setup(2)
 *                  answered when the ring was demanded
 */
COPYENGINE_PUBLIC int copyengine_new(const struct copyengine_options *options,
                                     struct copyengine **ret, struct copyengine_error *ret_error);

/**
 * Ends an engine whose jobs are all done. If operations of cancelled jobs still hang, their threads
 * and the memory that these use stay until the process ends. NULL is allowed.
 */
COPYENGINE_PUBLIC void copyengine_free(struct copyengine *engine);

/**
 * @return which backend runs and why, for people; belongs to the engine
 */
COPYENGINE_PUBLIC const char *copyengine_backend_description(const struct copyengine *engine);

/**
 * Hands a copy to the engine. Errors of the files are in the job's result, not returned here; a
 * copy that fails removes what it made.
 *
 * Each job keeps descriptors open, and a thread that looks for work goes through the list of all
 * jobs. A program with thousands of jobs should submit some hundreds of them at a time.
 *
 * @param ret the job; the caller frees it with copyengine_job_free when it is done
 * @return    0, -EINVAL, -ENOMEM
 */
COPYENGINE_PUBLIC int copyengine_submit(struct copyengine *engine,
                                        const struct copyengine_copy *copy,
                                        struct copyengine_job **ret);

/**
 * Waits until a job is done.
 *
 * @return its result, which belongs to the job
 */
COPYENGINE_PUBLIC const struct copyengine_result *copyengine_wait(struct copyengine_job *job);

/**
 * Hands a removal to the engine. Directories in it may be read-only. Symbolic links are removed,
 * never followed. Result and freeing are as with copyengine_submit; of a removal that fails, some
 * is gone and some is not.
 *
 * @return 0, -EINVAL, -ENOMEM
 */
COPYENGINE_PUBLIC int copyengine_submit_removal(struct copyengine *engine,
                                                const struct copyengine_removal *removal,
                                                struct copyengine_job **ret);

/**
 * Hands a scan to the engine: everything in a tree goes into a manifest, files with digests of
 * what the disk has (they are read past the page cache, O_DIRECT, where the file system lets us).
 * What cannot be read goes into it, too, and does not end the scan; the scan fails only if its root
 * cannot be opened. Result and freeing are as with copyengine_submit.
 *
 * @return 0, -EINVAL, -ENOMEM, or why there is no descriptor to be had
 */
COPYENGINE_PUBLIC int copyengine_submit_scan(struct copyengine *engine,
                                             const struct copyengine_scan *scan,
                                             struct copyengine_job **ret);

/**
 * Makes a job end early with ECANCELED, and remove what it made. Returns at once. The job ends
 * soon, also when its source does not answer: operations that hang are abandoned, and change
 * nothing at the destination when they return.
 */
COPYENGINE_PUBLIC void copyengine_cancel(struct copyengine_job *job);

/**
 * Tells by its type whether a file system is on another machine, or served by another process
 * (FUSE). Files may change there without this machine's kernel knowing.
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

/** What a job has done so far; may be called at any time. */
COPYENGINE_PUBLIC struct copyengine_progress copyengine_job_progress(struct copyengine_job *job);

/**
 * Copies a tree, and waits until that is done: copyengine_submit, copyengine_wait,
 * copyengine_job_free.
 *
 * @param ret_error may be NULL; says which file failed, and why; the caller ends it with
 *                  copyengine_error_clear
 * @return          0 or -errno
 */
COPYENGINE_PUBLIC int copyengine_copy_tree(struct copyengine *engine,
                                           const struct copyengine_copy *copy,
                                           struct copyengine_error *ret_error);

/**
 * Removes a tree, and waits until that is done.
 *
 * @param engine    NULL: it is done by the calling thread alone
 * @param dirfd     where `path` starts
 * @param ret_error may be NULL; names the file that could not be removed; the caller ends it with
 *                  copyengine_error_clear
 * @return          0, also when there was nothing; or -errno
 */
COPYENGINE_PUBLIC int copyengine_remove_tree(struct copyengine *engine, int dirfd, const char *path,
                                             struct copyengine_error *ret_error);

/** Writes "operation path: why" into a buffer and returns it. */
COPYENGINE_PUBLIC const char *copyengine_error_text(const struct copyengine_error *error,
                                                    char *buffer, size_t size);

/**
 * Copies an error, so that it outlives the job that it belongs to.
 *
 * @param ret the copy; the caller ends it with copyengine_error_clear. Without memory, it has no
 *            path
 */
COPYENGINE_PUBLIC void copyengine_error_copy(const struct copyengine_error *error,
                                             struct copyengine_error *ret);

/**
 * Frees what an error of the caller's holds, and sets all of it to zero. After a call that
 * succeeded there is nothing to free, and this does no harm.
 */
COPYENGINE_PUBLIC void copyengine_error_clear(struct copyengine_error *error);

#ifdef __cplusplus
}
#endif
