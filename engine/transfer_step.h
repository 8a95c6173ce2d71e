/* The steps of a transfer, for the two files that they are in: transfer.c and transfer_data.c. */
#pragma once

#include "engine/transfer.h"

typedef enum transfer_state transfer_step(struct transfer_host *host, struct transfer *transfer);

/** Copies what is between the transfer's offset and end; goes on with transfer_step_copied. */
transfer_step transfer_step_next_extent;

/** All bytes of the range are there. */
transfer_step transfer_step_copied;

/** Takes the digest of a file whose bytes did not pass through memory in order. */
transfer_step transfer_step_digest;

/** Begins with a file of a scan: transfer_scan.c. */
transfer_step transfer_step_scan;

static inline struct copyengine_job *transfer_job(const struct transfer *transfer)
{
    return transfer->file->batch->directory->job;
}

static inline enum transfer_state transfer_go_on(struct transfer *transfer, transfer_step *next)
{
    transfer->step = next;
    return TRANSFER_ADVANCE;
}

/** Starts an operation; `next` looks at its result. */
enum transfer_state transfer_start(struct transfer_host *host, struct transfer *transfer,
                                   struct io_op op, transfer_step *next);

/** Ends a transfer early, because its job has stopped. */
enum transfer_state transfer_give_up(struct transfer_host *host, struct transfer *transfer);

/** Ends a transfer, and its job, with an error. @param code an errno value, positive */
enum transfer_state transfer_fail(struct transfer_host *host, struct transfer *transfer,
                                  const char *operation, enum job_side side, int64_t code);

/** Takes a free buffer, if the transfer has none. @return false: there is none */
bool transfer_take_buffer(struct transfer_host *host, struct transfer *transfer);
void transfer_release_buffer(struct transfer_host *host, struct transfer *transfer);

/** The memory of the buffer that the transfer has. */
char *transfer_buffer(const struct transfer_host *host, const struct transfer *transfer);

/**
 * Whether a bandwidth cap lets a piece be moved now; if not, due_ns says when.
 *
 * @param bytes that are to be moved; made less where the cap allows less
 */
bool transfer_may_move(const struct transfer_host *host, struct transfer *transfer,
                       uint64_t *bytes);

/** Counts bytes that were moved, from the transfer's offset on. */
void transfer_moved(struct transfer *transfer, uint64_t bytes);

/** Takes bytes into the digest, which is complete with the last of them. @return 0 or -ENOMEM */
int transfer_digest(struct transfer *transfer, const void *data, size_t length);

/** Learns from how long a call took whether it found its bytes in the page cache. */
void transfer_learn_heat(struct device_pair *pair, uint64_t began_ns, int64_t bytes);
