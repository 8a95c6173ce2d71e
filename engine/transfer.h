/*
 * One file, or one range of a large file, under way: from its name to a complete copy, one
 * operation at a time. Knows how a file is copied; who copies which file when is the worker's and
 * the schedule's business.
 */
#pragma once

#include "engine/attr.h"
#include "engine/directory.h"
#include "engine/io.h"

#include <xxhash.h>

struct hard_link;
struct transfer_host;
struct transfer;

enum transfer_state {
    TRANSFER_ADVANCE, /* the next step can be taken at once */
    TRANSFER_QUEUED,  /* the io will hand its operation back */
    TRANSFER_STARVED, /* no buffer is free, or the io is busy: when an operation completed, again */
    TRANSFER_DELAYED, /* a bandwidth cap: again at due_ns */
    TRANSFER_DONE,    /* complete, or failed: free for the next file */
};

/** A file under way in both trees. */
struct file {
    struct batch *batch; /* holds one reference to it */
    const char *name;
    int source_fd;
    int destination_fd;
    uint64_t size;
    struct attributes attributes;
    struct timespec ctime;
    bool sparse; /* may have holes */
    bool has_xattrs;
    bool made_otherwise; /* with another mode than it shall have */
    bool retried;        /* the source changed once already */
    bool has_digest;
    bool direct;           /* read past the page cache */
    atomic_bool in_kernel; /* the bytes, or some, did not pass through our memory */
    atomic_bool shorter;   /* than its size: the end came early */
    XXH128_hash_t digest;
    struct hard_link *hard_link; /* NULL: it has one name */

    /* Of a large file, which many transfers copy at once; it has memory of its own then. */
    bool shared;
    struct file *next;      /* in its job's list; under the engine's lock, like the next one */
    uint64_t range_bytes;   /* of each range but the last; at least 1 */
    uint64_t untaken;       /* where the ranges begin that nobody has taken */
    atomic_uint references; /* ranges under way; one more while some are not taken */
};

struct transfer {
    struct io_op op;
    struct transfer *next; /* in one of the worker's lists */
    struct file *file;
    struct file own; /* what `file` is, as long as it is not shared */
    enum transfer_state (*step)(struct transfer_host *host, struct transfer *transfer);
    enum transfer_state (*after)(struct transfer_host *host, struct transfer *transfer);
    int buffer_index;    /* -1: none */
    uint64_t offset;     /* copied up to here */
    uint64_t end;        /* of the range */
    uint64_t extent_end; /* of the data that `offset` is in */
    uint64_t position;   /* of the destination's descriptor */
    uint64_t allowed;    /* bytes that a bandwidth cap lets it move now */
    uint64_t began_ns;   /* CLOCK_MONOTONIC; the read under way */
    uint64_t due_ns;     /* CLOCK_MONOTONIC */
    XXH3_state_t *hash;  /* made when one is needed, and kept for the next file */
};

/** What a transfer needs of the thread that it runs on. */
struct transfer_host {
    struct copyengine *engine;
    struct io_port port;
    const struct io_buffers *buffers;
    int *free_buffers; /* a stack of indexes */
    unsigned free_buffer_count;
    unsigned opens; /* begun while they go together */
};

/** Begins with a file. The batch's reference for it is dropped when it is done. */
void transfer_begin(struct transfer *transfer, struct batch *batch, const char *name);

/** Begins with a range of a shared file, of which one reference is taken over. */
void transfer_begin_range(struct transfer *transfer, struct file *file, uint64_t offset,
                          uint64_t end);

/** Takes steps until the file is done, or something has to be waited for. */
enum transfer_state transfer_run(struct transfer_host *host, struct transfer *transfer);
