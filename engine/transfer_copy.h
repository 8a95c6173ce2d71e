/* One file of a copy; and what files of supplies that come from other files have in common with it.
 */
#pragma once

#include "engine/transfer.h"

/** Sets the first step of a transfer that begins with a file. */
void transfer_begin_copy(struct transfer *transfer);

/** Begins with a range of a shared file, of which one reference is taken over. */
void transfer_begin_range(struct transfer *transfer, struct file *file, uint64_t offset,
                          uint64_t end);

/** Opens the source. @param op where it is; `next` looks at the result */
enum transfer_state transfer_open_source(struct transfer_host *host, struct transfer *transfer,
                                         struct io_op op, transfer_step *next);

/** Closes a descriptor, and forgets it. */
enum transfer_state transfer_close(struct transfer_host *host, struct transfer *transfer, int *fd,
                                   enum io_latency latency, transfer_step *next);

/** Copies all that is in a file, large ones in ranges; goes on with `copied`. */
enum transfer_state transfer_copy_contents(struct transfer_host *host, struct transfer *transfer);

/** All of a range is there: who is done with the last one completes the file. */
transfer_step transfer_step_copied;

/** Has the digest taken from what was made, which did not pass through memory in order; goes on
 * with `copied`. */
enum transfer_state transfer_read_again(struct transfer *transfer);
