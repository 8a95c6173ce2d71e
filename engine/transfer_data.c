/*
 * What is in a file: data from extent to extent, holes left out. The cheapest way comes first, and
 * what two file systems cannot do is asked once:
 *
 *     FICLONE           shares the blocks (transfer_copy.c)
 *     copy_file_range   stays in the kernel, or on the server
 *     sendfile          one copy in memory instead of two; it may block, so only as long as reads
 *                       have shown that the source is in the page cache
 *     read and write    from registered buffers; what the ring can queue, and what a digest needs
 */
#include "engine/transfer_data.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 8 << 20, /* that the kernel is asked to copy in one call */
};

static transfer_step step_copy, step_have_read, step_have_written;

/* Finds the data from the offset on; what lies before it is a hole, and stays one. */
enum transfer_state transfer_step_next_extent(struct transfer_host *host, struct transfer *transfer)
{
    const struct file *file = transfer->file;
    if (job_is_stopped(transfer_job(transfer)))
        return transfer_give_up(host, transfer);
    if (transfer->offset >= transfer->end)
        return transfer_go_on(transfer, transfer->copied);
    transfer->extent_end = transfer->end;
    if (!file->sparse)
        return transfer_go_on(transfer, step_copy);
    struct io_op op = {
        .kind = IO_SEEK, .fd = file->source_fd, .offset = transfer->offset, .flags = SEEK_DATA};
    int64_t data = io_do(&host->port, op);
    if (data == -ENXIO) { /* no more data */
        transfer->offset = transfer->end;
        return transfer_go_on(transfer, transfer->copied);
    }
    if (data == -EINVAL) /* this file system does not tell */
        return transfer_go_on(transfer, step_copy);
    op.offset = (uint64_t)data;
    op.flags = SEEK_HOLE;
    int64_t hole = data < 0 ? data : io_do(&host->port, op);
    if (hole < 0)
        return transfer_fail(host, transfer, "seek", JOB_SOURCE, -hole);
    transfer->offset = MIN((uint64_t)data, transfer->end);
    transfer->extent_end = MIN((uint64_t)hole, transfer->end);
    return transfer_go_on(transfer, step_copy);
}

static bool can_copy_range(const struct copyengine_job *job)
{
    return !atomic_load_explicit(&job->pair->no_copy_range, memory_order_relaxed);
}

/* sendfile(2) writes at the descriptor's position, which transfers of a shared file share. */
static bool can_send(const struct copyengine_job *job, const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    return job_source_latency(job) != IO_REMOTE && job->destination_latency != IO_REMOTE &&
           !job->copy.digest && !file->shared && transfer->position == transfer->offset &&
           !atomic_load_explicit(&job->pair->no_send, memory_order_relaxed) &&
           (job->source_latency == IO_IMMEDIATE ||
            atomic_load_explicit(&job->pair->hot, memory_order_relaxed) >= TRANSFER_HOT_READS);
}

/* Lets the kernel copy a piece. Returns false when it cannot between these two files. */
static bool copy_in_kernel(struct transfer_host *host, struct transfer *transfer, enum io_kind kind,
                           uint64_t bytes, enum transfer_state *ret)
{
    struct file *file = transfer->file;
    struct device_pair *pair = transfer_job(transfer)->pair;
    bool sends = kind == IO_SEND;
    uint64_t began_ns = sends ? clock_monotonic_ns() : 0;
    int64_t copied = io_do(&host->port, (struct io_op){.kind = kind,
                                                       .fd = file->source_fd,
                                                       .other_fd = file->destination_fd,
                                                       .offset = transfer->offset,
                                                       .length = bytes});
    assert(copied <= (int64_t)bytes);
    if (copied > 0) {
        atomic_store_explicit(&file->in_kernel, true, memory_order_relaxed);
        if (sends) {
            transfer_learn_heat(pair, began_ns, copied);
            transfer->position += (uint64_t)copied;
        }
        transfer_moved(transfer, (uint64_t)copied);
        *ret = TRANSFER_ADVANCE;
        return true;
    }
    if (copied == 0 || copied == -EINTR || copied == -EAGAIN)
        return false; /* 0: the end, or a file that only read(2) can tell the size of */
    if (!device_pair_cannot((int)-copied)) {
        *ret = transfer_fail(host, transfer, sends ? "sendfile" : "copy_file_range",
                             JOB_DESTINATION, -copied);
        return true;
    }
    atomic_store_explicit(sends ? &pair->no_send : &pair->no_copy_range, true,
                          memory_order_relaxed);
    return false;
}

static enum transfer_state step_copy(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    enum transfer_state state;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    assert(transfer->extent_end <= transfer->end && transfer->end <= transfer->file->size);
    if (transfer->offset >= transfer->extent_end)
        return transfer_go_on(transfer, transfer_step_next_extent);
    uint64_t bytes = MIN(transfer->extent_end - transfer->offset, (uint64_t)PIECE_BYTES);
    if (!transfer_may_move(transfer, &bytes))
        return TRANSFER_DELAYED;
    if (can_copy_range(job) && copy_in_kernel(host, transfer, IO_COPY_RANGE, bytes, &state))
        return state;
    if (can_send(job, transfer) && copy_in_kernel(host, transfer, IO_SEND, bytes, &state))
        return state;
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    transfer->began_ns = job->source_latency == IO_CACHED ? clock_monotonic_ns() : 0;
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_READ,
                              .latency = job_source_latency(job),
                              .fd = transfer->file->source_fd,
                              .data = transfer_buffer(host, transfer),
                              .length = MIN(bytes, host->buffers->buffer_bytes),
                              .offset = transfer->offset,
                              .buffer_index = transfer->buffer_index,
                          },
                          step_have_read);
}

/*
 * Whether bytes are digested as they pass: in order, all of them, and nobody else has some, nor has
 * the kernel copied any.
 */
static bool digests_on_the_way(const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    return transfer_job(transfer)->copy.digest && !file->shared && !file->sparse &&
           !atomic_load_explicit(&file->in_kernel, memory_order_relaxed);
}

static enum transfer_state step_have_read(struct transfer_host *host, struct transfer *transfer)
{
    int64_t length = transfer->op.result;
    if (length < 0)
        return transfer_fail(host, transfer, "read", JOB_SOURCE, -length);
    assert((size_t)length <= transfer->op.length);
    if (length == 0) { /* shorter than it was: it is copied again */
        transfer_release_buffer(host, transfer);
        atomic_store(&transfer->file->shorter, true);
        return transfer_go_on(transfer, transfer->copied);
    }
    if (transfer->began_ns)
        transfer_learn_heat(transfer_job(transfer)->pair, transfer->began_ns, length);
    if (digests_on_the_way(transfer) &&
        transfer_digest(transfer, transfer->op.data, (size_t)length) < 0)
        return transfer_fail(host, transfer, "digest", JOB_SOURCE, ENOMEM);
    struct io_op op = transfer->op;
    op.kind = IO_WRITE;
    op.latency = transfer_job(transfer)->destination_latency;
    op.fd = transfer->file->destination_fd;
    op.length = (size_t)length;
    return transfer_start(host, transfer, op, step_have_written);
}

static enum transfer_state step_have_written(struct transfer_host *host, struct transfer *transfer)
{
    int64_t result = transfer->op.result;
    if (result <= 0)
        return transfer_fail(host, transfer, "write", JOB_DESTINATION, result < 0 ? -result : EIO);
    uint64_t written = (uint64_t)result;
    assert(written <= transfer->op.length);
    transfer_moved(transfer, written);
    if (written < transfer->op.length) {
        struct io_op op = transfer->op;
        op.data = (char *)op.data + written;
        op.length -= written;
        op.offset += written;
        return transfer_start(host, transfer, op, step_have_written);
    }
    transfer_release_buffer(host, transfer);
    return transfer_go_on(transfer, step_copy);
}

/* Reads the copy again, which is still in memory: its ranges were not copied in order. */
enum transfer_state transfer_step_digest(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    if (job_is_stopped(transfer_job(transfer)))
        return transfer_give_up(host, transfer);
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    void *data = transfer_buffer(host, transfer);
    size_t wanted = MIN(file->size - transfer->offset, host->buffers->buffer_bytes);
    int64_t length = io_do(&host->port, (struct io_op){.kind = IO_READ,
                                                       .fd = file->destination_fd,
                                                       .data = data,
                                                       .length = wanted,
                                                       .offset = transfer->offset});
    if (length < 0 || (length == 0 && wanted > 0))
        return transfer_fail(host, transfer, "read", JOB_DESTINATION, length < 0 ? -length : EIO);
    if (transfer_digest(transfer, data, (size_t)length) < 0)
        return transfer_fail(host, transfer, "digest", JOB_DESTINATION, ENOMEM);
    transfer->offset += (uint64_t)length;
    if (!file->has_digest)
        return TRANSFER_ADVANCE;
    transfer_release_buffer(host, transfer);
    return transfer_go_on(transfer, transfer->copied);
}
