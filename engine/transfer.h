/*
 * One file, or one range of a large file, under way: it is copied, or scanned, one operation at a
 * time. Knows what all steps need, not the steps; who copies which file when is the worker's and
 * the schedule's business.
 */
#pragma once

#include "engine/digest.h"
#include "engine/file.h"
#include "engine/io.h"
#include "engine/job.h"
#include "engine/schedule.h"

struct transfer_host;
struct transfer;

enum transfer_state {
    TRANSFER_ADVANCE, /* the next step can be taken at once */
    TRANSFER_QUEUED,  /* the io will hand its operation back */
    TRANSFER_STARVED, /* no buffer is free, or the io is busy: when an operation completed, again */
    TRANSFER_DELAYED, /* a bandwidth cap, or a lease: again at delay.due_ns */
    TRANSFER_DONE,    /* complete, or failed: free for the next file */
};

typedef enum transfer_state transfer_step(struct transfer_host *host, struct transfer *transfer);

struct transfer {
    struct io_op op;
    struct transfer *next; /* in one of the worker's lists */
    struct delay delay;    /* in its seat's list, when it is delayed */
    struct file *file;
    struct file own;       /* what `file` is, as long as it is not shared */
    transfer_step *step;   /* the next one */
    transfer_step *after;  /* the one after the operation that is being started */
    transfer_step *copied; /* the one after the last byte of the range, or of the digest */
    int buffer_index;      /* -1: none */
    uint64_t offset;       /* copied up to here */
    uint64_t end;          /* of the range */
    uint64_t extent_end;   /* of the data that `offset` is in */
    uint64_t position;     /* of the destination's descriptor */
    uint64_t allowed;      /* bytes that a bandwidth cap lets it move now */
    uint64_t began_ns;     /* CLOCK_MONOTONIC; the read under way */
    uint64_t leased_ns;    /* CLOCK_MONOTONIC; since when a lease has kept the file from being
                              opened; 0: it has not */
    size_t unwritten;      /* bytes in the buffer behind those that are being written */
    struct digest digest;  /* of the file, as far as its bytes pass in order */
};

/** What a transfer needs of the thread that it runs on. */
struct transfer_host {
    struct io_port port;
    const struct io_buffers *buffers;
    int *free_buffers; /* a stack of indexes */
    unsigned free_buffer_count;
    unsigned opens; /* begun while they go together */
};

/** Begins with a file of a batch: with the first step of its kind of job. The batch's reference for
 * it is dropped when it is done. */
void transfer_begin(struct transfer *transfer, struct batch *batch, unsigned number);

/** Lets go of a file of a batch that is not begun, since its job has stopped. */
void transfer_drop_file(const struct io_port *port, struct batch *batch, unsigned number);

/** Takes steps until the file is done, or something has to be waited for. */
enum transfer_state transfer_run(struct transfer_host *host, struct transfer *transfer);

/* What follows is for the steps: transfer_copy.c, transfer_data.c, transfer_scan.c. */

static inline struct copyengine_job *transfer_job(const struct transfer *transfer)
{
    return transfer->file->batch->directory->job;
}

static inline enum transfer_state transfer_go_on(struct transfer *transfer, transfer_step *next)
{
    transfer->step = next;
    return TRANSFER_ADVANCE;
}

/** What the two file systems are like that a file is copied between. */
static inline struct device_pair *transfer_pair(const struct transfer *transfer)
{
    const struct copyengine_job *job = transfer_job(transfer);
    return transfer->file->donated ? job->donor_pair : job->pair;
}

/** How long operations at the file's source may take, by what is known now. */
static inline enum io_latency transfer_source_latency(const struct transfer *transfer)
{
    const struct copyengine_job *job = transfer_job(transfer);
    if (!transfer->file->donated)
        return job_source_latency(job);
    return job->destination_latency == IO_REMOTE ||
                   atomic_load_explicit(&job->donor_pair->no_inline, memory_order_relaxed)
               ? IO_REMOTE
               : IO_CACHED;
}

/** Starts an operation; `next` looks at its result. */
enum transfer_state transfer_start(struct transfer_host *host, struct transfer *transfer,
                                   struct io_op op, transfer_step *next);

/** The file was made, or never will be: lets other names of it be linked to it. */
void transfer_allow_links(struct transfer *transfer);

/** Lets go of a range. @return whether it was the last of its file, or all of it */
bool transfer_release_range(struct transfer *transfer);

/** Ends a transfer: lets go of its file, whatever became of that. */
enum transfer_state transfer_give_up(struct transfer_host *host, struct transfer *transfer);

/** Ends a transfer, and its job, with an error. What is wrong with a donor is none: the file counts
 * as shorter than it should be. @param code an errno value, positive */
enum transfer_state transfer_fail(struct transfer_host *host, struct transfer *transfer,
                                  const char *operation, enum job_side side, int64_t code);

/**
 * Whether an open that answered EAGAIN is to be tried again, at delay.due_ns. Somebody has a lease
 * on the file then (F_SETLEASE in fcntl(2): Samba's oplocks, delegations of the NFS server), and
 * the kernel has asked for it back. It is given back, or taken away after some time
 * (/proc/sys/fs/lease-break-time).
 */
bool transfer_waits_for_lease(struct transfer *transfer);

/** Takes a free buffer, if the transfer has none. @return false: there is none */
bool transfer_take_buffer(struct transfer_host *host, struct transfer *transfer);
void transfer_release_buffer(struct transfer_host *host, struct transfer *transfer);

/** The memory of the buffer that the transfer has. */
char *transfer_buffer(const struct transfer_host *host, const struct transfer *transfer);

/**
 * Whether a bandwidth cap lets a piece be moved now; if not, delay.due_ns says when.
 *
 * @param bytes that are to be moved; made less where the cap allows less
 */
bool transfer_may_move(struct transfer *transfer, uint64_t *bytes);

/** Counts bytes that were moved, from the transfer's offset on. */
void transfer_moved(struct transfer *transfer, uint64_t bytes);

/**
 * Takes bytes at the transfer's offset into the digest; what lies between those before and these is
 * a hole. A file that these are all of, and whose size is right, has its digest then.
 *
 * @return 0 or -ENOMEM
 */
int transfer_digest(struct transfer *transfer, const void *data, size_t length);

/**
 * Finds the data from the transfer's offset on, for who digests it: in whole blocks, so that many
 * small extents are read at once. What is not told of is all data.
 *
 * @param fd where the file system tells of the file's holes
 */
void transfer_find_blocks(struct transfer_host *host, struct transfer *transfer, int fd);

/** All bytes of the file were taken in: it has its digest from now on. @return 0 or -ENOMEM */
int transfer_end_digest(struct transfer *transfer);

/**
 * Whether something may be tried that cannot be done everywhere.
 *
 * @param cannot of the job's pair of file systems
 */
static inline bool transfer_may_try(const struct transfer *transfer, const atomic_bool *cannot)
{
    return transfer->file->other_mount || !atomic_load_explicit(cannot, memory_order_relaxed);
}

/** Learns that something cannot be done between two file systems. What a file says that is on
 * another one is true of that file alone. */
static inline void transfer_learn_cannot(const struct transfer *transfer, atomic_bool *cannot)
{
    if (transfer_may_try(transfer, cannot) && !transfer->file->other_mount)
        atomic_store_explicit(cannot, true, memory_order_relaxed);
}

enum { TRANSFER_HOT_READS = 16 }; /* in the page cache, in a row: sendfile will not block */

/** Learns from how long a call took whether it found its bytes in the page cache. */
void transfer_learn_heat(struct device_pair *pair, uint64_t began_ns, int64_t bytes);
