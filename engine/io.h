/*
 * The operation table: one description of an operation, two implementations that carry it out (a
 * ring, plain system calls). Knows nothing of trees, jobs or policies.
 *
 * An `io` belongs to the thread that made it; only `wake` may be called by others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum io_kind {
    IO_OPEN,
    IO_READ,
    IO_WRITE,
    IO_CLOSE,
};

/** How long the file system behind an operation may make its caller wait. */
enum io_latency {
    IO_IMMEDIATE, /* memory, or as good as: a plain call */
    IO_CACHED,    /* immediate when it is cached: try at once, queue what would block */
    IO_REMOTE,    /* a server answers: queue without asking */
};

enum io_answer {
    IO_DONE,   /* the result is in the operation */
    IO_QUEUED, /* `reap` will hand the operation back */
    IO_BUSY,   /* no room; reap, then try again */
};

struct io_op {
    enum io_kind kind;
    enum io_latency latency;
    int fd;           /* IO_OPEN: the directory; else the file */
    const char *name; /* IO_OPEN: one name, or a path */
    int flags;        /* IO_OPEN */
    mode_t mode;      /* IO_OPEN with O_CREAT */
    void *data;       /* IO_READ, IO_WRITE: inside a buffer of this io */
    size_t length;
    uint64_t offset;
    int buffer_index; /* which of the io's buffers `data` is in */
    int result;       /* what the call returned, or -errno */
};

enum { IO_BUFFERS_MAX = 64 };

/** Memory for reads and writes; a ring registers it with the kernel. */
struct io_buffers {
    char *memory;
    size_t buffer_bytes;
    unsigned count; /* at most IO_BUFFERS_MAX */
};

struct io;

struct io_backend {
    const char *name;
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
     * @param wait sleep until there is one, or until somebody calls `wake`
     * @return     NULL when there is none, or after a `wake`
     */
    struct io_op *(*reap)(struct io *io, bool wait);
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
