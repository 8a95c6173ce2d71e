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
#include <string.h>

enum {
    PIECE_BYTES = 8 << 20,  /* that the kernel is asked to copy in one call */
    HOLE_UNIT_BYTES = 4096, /* the shortest hole that is made where nobody tells of holes */
};

static transfer_step step_copy, step_have_read, step_have_written, step_have_read_on,
    step_have_digest;

/* Finds the data from the offset on; what lies before it is a hole, and stays one. */
enum transfer_state transfer_step_next_extent(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    if (transfer->offset >= transfer->end)
        return transfer_go_on(transfer, transfer->copied);
    transfer->extent_end = transfer->end;
    if (file->holes != HOLES_TOLD)
        return transfer_go_on(transfer, step_copy);
    uint64_t data, hole;
    holes_find_data(&host->port, file->source_fd, transfer->offset, file->size, &data, &hole);
    if (file->shared && data > transfer->end)
        schedule_skip_hole(job->common->schedule, file, data);
    transfer->offset = MIN(data, transfer->end);
    transfer->extent_end = MIN(hole, transfer->end);
    return transfer_go_on(transfer, step_copy);
}

/* Whether the kernel copies bytes of a file at all: it would fill holes that nobody tells of. */
static bool kernel_copies(const struct file *file)
{
    return file->holes != HOLES_UNTOLD &&
           !atomic_load_explicit(&file->no_kernel, memory_order_relaxed);
}

static bool can_copy_range(const struct transfer *transfer)
{
    return kernel_copies(transfer->file) &&
           transfer_may_try(transfer, &transfer_pair(transfer)->no_copy_range);
}

/* sendfile(2) writes at the descriptor's position, which transfers of a shared file share. */
static bool can_send(const struct copyengine_job *job, const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    return job_source_latency(job) != IO_REMOTE && job->destination_latency != IO_REMOTE &&
           !job->copy.digest && !file->shared && kernel_copies(file) &&
           transfer->position == transfer->offset &&
           transfer_may_try(transfer, &job->pair->no_send) &&
           (job->source_latency == IO_IMMEDIATE ||
            atomic_load_explicit(&job->pair->hot, memory_order_relaxed) >= TRANSFER_HOT_READS);
}

/*
 * Lets the kernel copy a piece. Returns false when it cannot: between these two file systems, or
 * this file (a swap file that is in use: ETXTBSY). What stands in the way of any copy, such as a
 * full disk, is found again, and reported, by who reads and writes.
 */
static bool copy_in_kernel(struct transfer_host *host, struct transfer *transfer, enum io_kind kind,
                           uint64_t bytes)
{
    struct file *file = transfer->file;
    struct device_pair *pair = transfer_pair(transfer);
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
        return true;
    }
    if (copied == 0 || copied == -EINTR || copied == -EAGAIN)
        return false; /* 0: the end, or a file that only read(2) can tell the size of */
    bool of_file = !device_pair_cannot((int)-copied) || file->other_mount;
    atomic_bool *refused = of_file ? &file->no_kernel
                           : sends ? &pair->no_send
                                   : &pair->no_copy_range;
    atomic_store_explicit(refused, true, memory_order_relaxed);
    return false;
}

static enum transfer_state step_copy(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    const struct file *file = transfer->file;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    assert(transfer->extent_end <= transfer->end && transfer->end <= file->size);
    if (transfer->offset >= transfer->extent_end)
        return transfer_go_on(transfer, transfer_step_next_extent);
    uint64_t bytes = MIN(transfer->extent_end - transfer->offset, (uint64_t)PIECE_BYTES);
    if (!transfer_may_move(transfer, &bytes))
        return TRANSFER_DELAYED;
    if (can_copy_range(transfer) && copy_in_kernel(host, transfer, IO_COPY_RANGE, bytes))
        return TRANSFER_ADVANCE;
    if (can_send(job, transfer) && copy_in_kernel(host, transfer, IO_SEND, bytes))
        return TRANSFER_ADVANCE;
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    transfer->began_ns =
        file->donated || job->source_latency == IO_CACHED ? clock_monotonic_ns() : 0;
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_READ,
                              .latency = transfer_source_latency(transfer),
                              .fd = file->source_fd,
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
    return transfer_job(transfer)->copy.digest && !file->shared &&
           !atomic_load_explicit(&file->in_kernel, memory_order_relaxed);
}

static bool is_zero(const char *data, size_t length)
{
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

/* How many of the bytes at an offset of a file are zeros, or are not, as units that may be holes.
 */
static size_t count_units(const char *data, size_t length, uint64_t offset, bool zeros)
{
    size_t count = 0;
    while (count < length) {
        size_t unit = HOLE_UNIT_BYTES - (offset + count) % HOLE_UNIT_BYTES;
        unit = MIN(unit, length - count);
        if (is_zero(data + count, unit) != zeros)
            break;
        count += unit;
    }
    return count;
}

/* Writes what was read; where nobody tells of holes, zeros become some. */
static enum transfer_state write_data(struct transfer_host *host, struct transfer *transfer,
                                      struct io_op op)
{
    transfer->unwritten = 0;
    if (transfer->file->holes == HOLES_UNTOLD) {
        size_t zeros = count_units(op.data, op.length, op.offset, true);
        op.data = (char *)op.data + zeros;
        op.offset += zeros;
        op.length -= zeros;
        transfer->offset += zeros;
        transfer->unwritten = op.length;
        op.length = count_units(op.data, op.length, op.offset, false);
        transfer->unwritten -= op.length;
    }
    if (op.length > 0)
        return transfer_start(host, transfer, op, step_have_written);
    transfer_release_buffer(host, transfer);
    return transfer_go_on(transfer, step_copy);
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
        transfer_learn_heat(transfer_pair(transfer), transfer->began_ns, length);
    if (digests_on_the_way(transfer) &&
        transfer_digest(transfer, transfer->op.data, (size_t)length) < 0)
        return transfer_fail(host, transfer, "digest", JOB_SOURCE, ENOMEM);
    struct io_op op = transfer->op;
    op.kind = IO_WRITE;
    op.latency = transfer_job(transfer)->destination_latency;
    op.fd = transfer->file->destination_fd;
    op.length = (size_t)length;
    return write_data(host, transfer, op);
}

static enum transfer_state step_have_written(struct transfer_host *host, struct transfer *transfer)
{
    int64_t result = transfer->op.result;
    if (result <= 0)
        return transfer_fail(host, transfer, "write", JOB_DESTINATION, result < 0 ? -result : EIO);
    uint64_t written = (uint64_t)result;
    assert(written <= transfer->op.length);
    transfer_moved(transfer, written);
    struct io_op op = transfer->op;
    op.data = (char *)op.data + written;
    op.length += transfer->unwritten - written;
    op.offset += written;
    return write_data(host, transfer, op);
}

/* Reads behind the end that a file states, where sizes may lie: until there is no more. */
enum transfer_state transfer_step_read_on(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    uint64_t bytes = host->buffers->buffer_bytes;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    if (file->size > file->stated && !transfer_may_move(transfer, &bytes))
        return TRANSFER_DELAYED; /* most have nothing there, which is not to be paid for */
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    transfer->offset = file->size;
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_READ,
                              .latency = job_source_latency(job),
                              .fd = file->source_fd,
                              .data = transfer_buffer(host, transfer),
                              .length = bytes,
                              .offset = transfer->offset,
                              .buffer_index = transfer->buffer_index,
                          },
                          step_have_read_on);
}

static enum transfer_state step_have_read_on(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    transfer->began_ns = 0;
    if (transfer->op.result > 0) {
        file->size += (uint64_t)transfer->op.result;
        transfer->end = transfer->extent_end = file->size;
    } else if (transfer->op.result == 0) {
        file->ended = true;
        transfer_release_buffer(host, transfer);
        return transfer_go_on(transfer, transfer->copied);
    }
    return step_have_read(host, transfer);
}

/* Reads what was made, which mostly is in memory still: its ranges were not copied in order. */
enum transfer_state transfer_step_digest(struct transfer_host *host, struct transfer *transfer)
{
    const struct copyengine_job *job = transfer_job(transfer);
    const struct file *file = transfer->file;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    if (transfer->offset >= transfer->extent_end && transfer->offset < file->size)
        transfer_find_blocks(host, transfer, file->cloned ? file->destination_fd : file->source_fd);
    if (transfer->offset >= file->size) {
        transfer_release_buffer(host, transfer);
        return transfer_end_digest(transfer) < 0
                   ? transfer_fail(host, transfer, "digest", JOB_DESTINATION, ENOMEM)
                   : transfer_go_on(transfer, transfer->copied);
    }
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    return transfer_start(
        host, transfer,
        (struct io_op){
            .kind = IO_READ,
            .latency = job->destination_latency == IO_REMOTE ? IO_REMOTE : IO_CACHED,
            .one_of_many = file->cloned, /* nothing of it is in memory */
            .fd = file->destination_fd,
            .data = transfer_buffer(host, transfer),
            .length = MIN(transfer->extent_end - transfer->offset, host->buffers->buffer_bytes),
            .offset = transfer->offset,
            .buffer_index = transfer->buffer_index,
        },
        step_have_digest);
}

static enum transfer_state step_have_digest(struct transfer_host *host, struct transfer *transfer)
{
    int64_t length = transfer->op.result;
    /* What cannot be read of a clone are the blocks that it shares. */
    if (length <= 0)
        return transfer_fail(host, transfer, "read",
                             transfer->file->cloned ? JOB_SOURCE : JOB_DESTINATION,
                             length < 0 ? -length : EIO);
    if (transfer_digest(transfer, transfer->op.data, (size_t)length) < 0)
        return transfer_fail(host, transfer, "digest", JOB_DESTINATION, ENOMEM);
    transfer->offset += (uint64_t)length;
    job_arrived(transfer_job(transfer));
    return transfer_go_on(transfer, transfer_step_digest);
}
