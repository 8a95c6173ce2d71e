/*
 * libcopyengine: copies, makes and removes directory trees, many files at a time.
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
    const char *explanation; /* why, in words, where errno alone would mislead; static, or a part
                                of the path's memory; or NULL */
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
    uint64_t skipped;     /* sockets, fifos, devices, links that cannot be read: not copied */
    uint64_t bytes;       /* of contents, holes not counted */
    uint64_t files_found; /* so far, done or not */
    bool walked;          /* all directories were read: files_found is all there are */
    /* Of a supply: where the contents of its files came from, more names of a file not counted.
       `bytes` has more, where a donor was not what it should be. */
    uint64_t cloned_files; /* share the blocks of their donors (FICLONE) */
    uint64_t cloned_bytes;
    uint64_t copied_files; /* from their donors, otherwise */
    uint64_t copied_bytes;
    uint64_t fetched_files; /* from the source, or parts; empty ones included */
    uint64_t fetched_bytes;
    uint64_t arrivals; /* what else shows that it gets on: copyengine_supply_moves, and bytes that
                          are read again */
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
    size_t size;             /* sizeof(struct copyengine_copy) */
    const char *source;      /* a directory, or a symbolic link to one */
    int destination_dirfd;   /* where `destination` starts: AT_FDCWD or a directory, duplicated */
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
    bool digest;          /* take the digest of each file whose bytes pass through memory:
                             engine/digest.h says which; most often XXH3-128 */
    bool manifest;   /* write a manifest of the tree to manifest_fd, with what digests there are */
    int manifest_fd; /* the caller's, who closes it; written to from its position on.
                        engine/manifest.h has the format */
    /* The directory that the source must be: the copy fails with ESTALE if its path leads to
       another one by now. An inode number of 0: any. */
    dev_t source_device;
    ino_t source_inode;
    const char *destination_shown; /* what errors call the destination; default: `destination` */
    bool owned_directories;        /* only its owner may write to a directory of the copy */
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
    bool count_bytes; /* in the progress, `bytes` is the size of the files of which the last name
                         went; takes a call more for each file */
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
    unsigned manifest_version; /* 1: to compare with one of version 1; 0: the newest, which is 2 */
    bool relative;             /* `path` starts at `dirfd`, else where the process is */
    int dirfd;                 /* the caller's; duplicated */
    bool one_mount; /* what is mounted on `path`, which is one name then, or in the tree, is not
                       entered: it cannot be read (EXDEV) */
};

/** What an entry of a supply is. */
enum copyengine_type {
    COPYENGINE_DIRECTORY,
    COPYENGINE_FILE,
    COPYENGINE_SYMLINK,
    COPYENGINE_HARD_LINK,
};

/** An extended attribute that is supplied. This structure never grows. */
struct copyengine_xattr {
    const char *name;
    const void *value;
    size_t length;
};

/** Where bytes of a supplied file are. This structure never grows. */
struct copyengine_extent {
    uint64_t offset;      /* in the file */
    uint64_t length;      /* at least 1 */
    size_t part;          /* that has them, ... */
    uint64_t part_offset; /* ... and where in it */
};

/** Something in a tree that is supplied. This structure never grows. */
struct copyengine_entry {
    const char *path; /* relative to the root; "" for the root. No name in it is . or .. */
    enum copyengine_type type;
    mode_t mode; /* permission bits; of a directory or a file */
    struct timespec mtime;
    uint64_t size;      /* of a file */
    const char *target; /* what a symbolic link says */
    size_t linked;      /* of a hard link: which entry it is another name of, a file or a symbolic
                           link that comes before it */
    const struct copyengine_xattr *xattrs; /* of a directory or a file */
    size_t xattr_count;
    const struct copyengine_extent *extents; /* of a file, in order; all else in it is a hole */
    size_t extent_count;
    unsigned char digest[16]; /* of a file: what engine/digest.h says, in canonical form */
};

/** What a supply is made of. This structure never grows. */
struct copyengine_contents {
    const struct copyengine_entry
        *entries; /* the root first, each directory before what is in it */
    size_t entry_count;
    const size_t *part_bytes; /* how large each part is: 1 byte to 64 MiB */
    size_t part_count;
};

/** A directory that files are taken from. This structure never grows. */
struct copyengine_root {
    int fd;            /* the caller's; stays open until on_released */
    const char *shown; /* what warnings call it */
};

/**
 * Where the contents of an entry are, as files. This structure never grows. The files are opened
 * below their directories; no name in a path is . or .., and none may be a link. What is no regular
 * file, or has not the entry's size, is not taken; nor are contents that are not what the entry's
 * digest says, which is taken of the file that was made.
 */
struct copyengine_origin {
    const struct copyengine_root *donor_root;
    const char *donor;  /* tried first: a file on this machine, which is cloned (FICLONE) where
                           that can be, else copied. If it cannot be taken, that is no error: the
                           source is. A warning names it if it is there, and not what it should be.
                           NULL: none */
    const char *source; /* a file in the source, fetched as a copy does. If it cannot be taken, the
                           job fails. NULL: the entry's extents say where its bytes are */
};

/** Files that a supply takes contents from. */
struct copyengine_origins {
    size_t size;                             /* sizeof(struct copyengine_origins) */
    const struct copyengine_origin *origins; /* as many as there are entries, in their order; all
                                                zero for what is no file. An entry with a source
                                                has no extents */
    size_t count;
    int source_fd; /* the directory that sources are in, the caller's; stays open until on_released.
                      Not used if no entry has a source */
};

/** Where the contents of an entry came from. */
enum copyengine_taken {
    COPYENGINE_TAKEN_FETCHED, /* its source, or parts */
    COPYENGINE_TAKEN_CLONED,  /* its donor, whose blocks it shares */
    COPYENGINE_TAKEN_COPIED,  /* its donor */
};

/**
 * A tree to make of entries, and of the bytes of files, which come in parts.
 * copyengine_submit_supply copies the strings of this structure; the contents, and all that they
 * point to, are used until on_released.
 */
struct copyengine_supply {
    size_t size;        /* sizeof(struct copyengine_supply) */
    const char *source; /* what errors and warnings call where it comes from */
    struct copyengine_contents contents;
    /* If set: an engine's thread calls this first, and it fills the contents in. Returns 0 or
       -errno, as `read`. */
    int (*describe)(void *contents_context, struct copyengine_job *job,
                    struct copyengine_contents *ret, const char **ret_explanation);
    /*
     * Fills a part in. The engine's threads call this, several at once, each part once at most, and
     * in their order as far as they begin. At most 40 MiB of parts are in memory, of all jobs of an
     * engine, or one part. Returns 0 or -errno: then the job fails, with what *ret_explanation
     * says, which is static, or NULL. Both are given their job, for copyengine_supply_moves only.
     */
    int (*read)(void *contents_context, struct copyengine_job *job, size_t part, void *buffer,
                const char **ret_explanation);
    bool waits; /* these two may wait for a server, or for another program: such calls get threads
                   of their own */
    dev_t source_device; /* what they wait for: each has its share of these threads */
    /* The last use of contents_context and of the contents; called once, by any thread: soon after
       the job is freed, or when a `read` returns that hung in a job that was cancelled. */
    void (*on_released)(void *contents_context);
    void *contents_context; /* of these three, which may be called when on_done was */
    /* As for copies. */
    int destination_dirfd;
    const char *destination;
    const char *destination_shown;
    bool root_stays_writable;
    int (*on_progress)(void *context, const struct copyengine_progress *progress);
    unsigned progress_interval_ms;
    void (*on_warning)(void *context, const char *path, const char *text);
    void (*on_done)(void *context);
    void *context;
    enum copyengine_priority priority;
    uint64_t bytes_per_s;
    bool set_id;
    bool manifest; /* each digest that it has was checked */
    int manifest_fd;
    bool owned_directories;
    /* Files that contents are taken from, instead of parts, or before these; NULL: none. Read when
       `describe` has returned, which may fill it in; used, with all that it points to, until
       on_released. Of a part that nothing is taken from in the end there is no `read`. */
    const struct copyengine_origins *origins;
    /* A thread of the engine calls this when a file is complete, also if it has no origin. `entry`:
       its number in the contents; its hard links are not told of. One job has one call at a time,
       and none after on_done. */
    void (*on_file)(void *context, size_t entry, enum copyengine_taken taken);
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
 * Submits a supply. Nothing is made before all entries were checked: an entry that would be outside
 * of the tree, below a link, or there twice ends the job with EBADMSG, and so does a file that is
 * not what its digest says. A supply that fails removes what it made.
 *
 * @param ret as of copyengine_submit_copy
 * @return    0, -EINVAL, -ENOMEM; on failure on_released is not called
 */
COPYENGINE_PUBLIC int copyengine_submit_supply(struct copyengine *engine,
                                               const struct copyengine_supply *supply,
                                               struct copyengine_job **ret)
    COPYENGINE_NONNULL(1, 2, 3) COPYENGINE_CHECKED;

/**
 * Tells that something has arrived of what a supply's `describe` or `read` waits for, though not
 * all yet: on_progress is called if it is time to. What does not arrive must not be told of: that
 * is how a source that hangs is seen to hang. Only these two functions may call this. It counts no
 * bytes: they count when they are written.
 *
 * @return whether the job goes on; if not (it failed, or was cancelled), the rest need not be read
 */
COPYENGINE_PUBLIC bool copyengine_supply_moves(struct copyengine_job *job) COPYENGINE_NONNULL(1);

enum { COPYENGINE_LINK_SIZE = 4096 }; /* the longest text of a symbolic link, with its NUL */

/**
 * Finds what a link must say in a copy of a tree to reach what it reaches in the tree, as
 * COPYENGINE_SYMLINKS_KEEP has it: for who supplies links.
 *
 * @param root    of the tree, an absolute path
 * @param root_fd the same, open
 * @param path    of the link, relative to the root
 * @param target  what it says
 * @param ret     what its copy shall say
 * @return        0; -ENAMETOOLONG: that is longer than a link can be; or another -errno
 */
COPYENGINE_PUBLIC int copyengine_keep_link(const char *root, int root_fd, const char *path,
                                           const char *target, char ret[COPYENGINE_LINK_SIZE])
    COPYENGINE_NONNULL(1, 3, 4, 5) COPYENGINE_CHECKED;

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
 * Whether a directory is another one, or lies in it, whichever mounts lead to the two: also if it
 * is named through a bind mount of a part of the other. Reads /proc; false if that says nothing.
 *
 * @param fd           of the directory that may be inside
 * @param directory_fd of the other; both may have been opened with O_PATH
 */
COPYENGINE_PUBLIC bool copyengine_is_inside(int fd, int directory_fd);

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
