/*
 * The operation table: one description of an operation, two implementations that carry it out (a
 * ring, plain system calls), and one in the tests that makes operations fail. All that
 * changes files goes through it, and all that reads them; only what a link reaches, and what a
 * destination is like, is asked beside it. Knows nothing of trees, jobs or policies.
 *
 * An `io` belongs to the thread that made it; only `wake` may be called by others.
 */
#pragma once

#include <linux/openat2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum io_kind {
    /* These may be queued. */
    IO_OPEN,  /* openat(2), openat2(2) */
    IO_READ,  /* pread(2) */
    IO_WRITE, /* pwrite(2) */
    IO_CLOSE, /* close(2) */
    /* These are plain calls: a ring would hand them to a kernel thread, or has no such operation.
     */
    IO_STAT,       /* statx(2); data: struct statx */
    IO_LIST,       /* getdents64(2) */
    IO_MAKE_DIR,   /* mkdirat(2) */
    IO_MAKE_LINK,  /* symlinkat(2); name, in fd, says other_name */
    IO_READ_LINK,  /* readlinkat(2) */
    IO_HARD_LINK,  /* linkat(2); other_name, in other_fd, becomes another name of name, in fd */
    IO_REMOVE,     /* unlinkat(2) */
    IO_RENAME,     /* renameat(2) of name, in fd, to other_name, in other_fd */
    IO_SET_MODE,   /* fchmod(2); with a name: adds to the mode of a directory of this user's */
    IO_SET_OWNER,  /* fchownat(2) */
    IO_SET_TIMES,  /* utimensat(2); data: struct timespec[2] */
    IO_SEEK,       /* lseek(2); flags: whence */
    IO_PAGE_STATE, /* cachestat(2) of all of fd; data: struct io_page_state */
    IO_FLUSH,      /* sync_file_range(2) of all of fd; flags not 0: fdatasync(2) */
    IO_TRUNCATE,   /* ftruncate(2) to offset */
    IO_ALLOCATE,   /* fallocate(2) */
    IO_CLONE,      /* FICLONE of fd onto other_fd */
    IO_COPY_RANGE, /* copy_file_range(2) from fd to other_fd, both at offset */
    IO_SEND,       /* sendfile(2) from fd at offset to other_fd, at its file position */
    IO_LIST_XATTR, /* flistxattr(2) */
    IO_GET_XATTR,  /* fgetxattr(2) */
    IO_SET_XATTR,  /* fsetxattr(2) */
    IO_SYNC,       /* syncfs(2) of the file system that fd is on */
    IO_KIND_COUNT,
};

/** How long the file system behind an operation may make its caller wait. */
enum io_latency {
    IO_IMMEDIATE, /* memory, or as good as: a plain call */
    IO_CACHED,    /* immediate when it is cached: try at once, queue what would block */
    IO_REMOTE,    /* a server answers: queue without asking, where that can be */
};

enum io_answer {
    IO_DONE,   /* the result is in the operation */
    IO_QUEUED, /* `reap` will hand the operation back */
    IO_BUSY,   /* no room; reap, then try again */
};

/** What the page cache has of a file, in pages, as cachestat(2) tells. */
struct io_page_state {
    uint64_t cached;
    uint64_t dirty;
    uint64_t writeback; /* on their way to the disk */
    uint64_t evicted;
    uint64_t recently_evicted;
};

/** What an operation does not use is zero. */
struct io_op {
    enum io_kind kind;
    enum io_latency latency; /* of the kinds that may be queued; others: IO_IMMEDIATE */
    bool one_of_many;        /* a ring takes it together with others, though it would not block:
                                cheaper than a system call each */
    bool one_mount; /* IO_OPEN, IO_STAT: what is mounted on the name is left alone (EXDEV) */
    int fd;         /* the file, or the directory that `name` is in */
    int other_fd;
    const char *name; /* NULL or "": fd itself */
    const char *other_name;
    const struct open_how *how; /* of IO_OPEN: openat2(2), with these flags; stays as it is */
    int flags;
    mode_t mode;
    uid_t user;
    gid_t group;
    void *data; /* IO_READ, IO_WRITE: inside a buffer of this io */
    size_t length;
    uint64_t offset;
    int buffer_index;        /* which of the io's buffers `data` is in */
    int64_t result;          /* what the call returned, or -errno */
    struct open_how own_how; /* IO_OPEN with one_mount: a ring fills it in */
};

enum {
    IO_BUFFERS_MAX = 64,
    IO_TOGETHER = 16, /* queued operations of a ring for which it makes a system call */
};

/** Memory for reads and writes; a ring registers it with the kernel. */
struct io_buffers {
    char *memory;
    size_t buffer_bytes;
    unsigned count; /* at most IO_BUFFERS_MAX */
};

struct io;

struct io_backend {
    const char *name;
    bool queues; /* more operations than one may be under way on one thread */
    /**
     * @param entries   operations that may be queued at once
     * @param buffers   stay the caller's, and outlive the io
     * @param ret       the io
     * @return          0 or -errno
     */
    int (*create)(unsigned entries, const struct io_buffers *buffers, struct io **ret);
    enum io_answer (*submit)(struct io *io, struct io_op *op);
    /**
     * Hands back one operation that was queued and is complete.
     *
     * @param wait_ns how long to sleep until there is one, or somebody calls `wake`; 0: not at all;
     *                UINT64_MAX: for ever
     * @return        NULL when there is none
     */
    struct io_op *(*reap)(struct io *io, uint64_t wait_ns);
    /** Ends the sleep of `reap`, now or the next time. Any thread. */
    void (*wake)(struct io *io);
    /** No operation may be queued. */
    void (*destroy)(struct io *io);
};

extern const struct io_backend io_ring_backend;
extern const struct io_backend io_threads_backend;

/** Carries an operation out by one plain system call; never fails but in op->result. */
void io_call(struct io_op *op);

/**
 * Carries an operation out at once if that does not block (openat2(2) RESOLVE_CACHED, preadv2(2)
 * RWF_NOWAIT).
 *
 * @return false: it would block, or the kernel cannot tell
 */
bool io_try(struct io_op *op);

/**
 * Whether this kernel, and whoever confines this process, let us have a ring with all that
 * io_ring_backend needs.
 *
 * @param ret_why filled in with the reason why not; static storage
 * @return        0, or -errno
 */
int io_ring_probe(const char **ret_why);

/** An io, and what carries its operations out. */
struct io_port {
    const struct io_backend *backend;
    struct io *io;
};

/** Carries out an operation that is never queued. @return its result */
int64_t io_do(const struct io_port *port, struct io_op op);
