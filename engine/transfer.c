/*
 * One file: open both ends, clone or copy, set mode and times, close. A transfer is a chain of
 * steps; each looks at the result of the operation before it and starts the next, so that the same
 * code runs when operations are done at once and when they are queued.
 *
 * The cheapest way comes first: FICLONE, which shares the blocks; copy_file_range(2), which stays
 * in the kernel or on the server; read and write. What two file systems cannot do is asked once.
 */
#include "engine/transfer.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/engine.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum {
    PIECE_BYTES = 8 << 20,      /* that the kernel is asked to copy in one call */
    YIELD_BYTES = 8 << 20,      /* after which a smaller job may go first */
    STAT_BLOCK_BYTES = 512,     /* the unit of stx_blocks */
    SLEEP_MAX_NS = 50 * 1000000 /* under a bandwidth cap, before looking whether the job stopped */
};

typedef enum transfer_state step(struct transfer_host *host, struct transfer *transfer);

static step step_stat_source, step_opened_destination, step_next_extent, step_copy, step_have_read,
    step_have_written, step_complete, step_close_source, step_finish;

static struct copyengine_job *job_of(const struct transfer *transfer)
{
    return transfer->batch->directory->job;
}

static enum transfer_state go_on(struct transfer *transfer, step *next)
{
    transfer->step = next;
    return TRANSFER_ADVANCE;
}

static enum transfer_state step_submit(struct transfer_host *host, struct transfer *transfer)
{
    enum io_answer answer = host->engine->backend->submit(host->io, &transfer->op);
    if (answer == IO_BUSY)
        return TRANSFER_STARVED;
    transfer->step = transfer->after;
    return answer == IO_DONE ? TRANSFER_ADVANCE : TRANSFER_QUEUED;
}

/* Starts an operation; `next` looks at its result. */
static enum transfer_state start(struct transfer_host *host, struct transfer *transfer,
                                 struct io_op op, step *next)
{
    transfer->op = op;
    transfer->after = next;
    transfer->step = step_submit;
    return step_submit(host, transfer);
}

static void release_buffer(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->buffer_index >= 0)
        host->free_buffers[host->free_buffer_count++] = transfer->buffer_index;
    transfer->buffer_index = -1;
}

/* Ends a transfer early: on an error, or when its job has stopped. */
static enum transfer_state give_up(struct transfer_host *host, struct transfer *transfer)
{
    release_buffer(host, transfer);
    cleanup_close_fd(&transfer->source_fd);
    cleanup_close_fd(&transfer->destination_fd);
    batch_release(transfer->batch);
    return TRANSFER_DONE;
}

static enum transfer_state fail(struct transfer_host *host, struct transfer *transfer,
                                const char *operation, enum job_side side, int code)
{
    job_fail(job_of(transfer), operation, side, transfer->batch->directory, transfer->name, code);
    return give_up(host, transfer);
}

static enum transfer_state step_begin(struct transfer_host *host, struct transfer *transfer)
{
    const struct copyengine_job *job = job_of(transfer);
    int follow = job->copy.symlinks == COPYENGINE_SYMLINKS_FOLLOW ? 0 : O_NOFOLLOW;
    return start(host, transfer,
                 (struct io_op){
                     .kind = IO_OPEN,
                     .latency = job->source_latency,
                     .fd = transfer->batch->directory->source_fd,
                     .name = transfer->name,
                     /* O_NONBLOCK: the name may have become a fifo since the directory was read */
                     .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow,
                 },
                 step_stat_source);
}

void transfer_begin(struct transfer *transfer, struct batch *batch, const char *name)
{
    *transfer = (struct transfer){
        .batch = batch,
        .name = name,
        .step = step_begin,
        .source_fd = -1,
        .destination_fd = -1,
        .buffer_index = -1,
    };
}

enum transfer_state transfer_run(struct transfer_host *host, struct transfer *transfer)
{
    enum transfer_state state;
    do {
        state = transfer->step(host, transfer);
    } while (state == TRANSFER_ADVANCE);
    return state;
}

/*
 * Fills in what the copy shall look like. The attributes came with the open: AT_STATX_DONT_SYNC
 * never asks a server again.
 */
static int stat_source(const struct transfer *transfer, struct statx *ret)
{
    int result =
        statx(transfer->source_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, ret);
    return result < 0 ? -errno : 0;
}

static struct timespec to_timespec(struct statx_timestamp time)
{
    return (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

static void take_attributes(struct transfer *transfer, const struct statx *source)
{
    transfer->size = source->stx_size;
    transfer->mode = source->stx_mode & (S_ISVTX | S_IRWXU | S_IRWXG | S_IRWXO);
    transfer->mtime = to_timespec(source->stx_mtime);
    transfer->ctime = to_timespec(source->stx_ctime);
    transfer->sparse = source->stx_blocks * STAT_BLOCK_BYTES < source->stx_size;
}

static enum transfer_state step_stat_source(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = job_of(transfer);
    if (transfer->op.result < 0)
        return fail(host, transfer, "open", JOB_SOURCE, -transfer->op.result);
    transfer->source_fd = transfer->op.result;
    if (job_is_stopped(job)) /* while the server took its time: nothing is made any more */
        return give_up(host, transfer);
    struct statx source;
    int result = stat_source(transfer, &source);
    if (result < 0)
        return fail(host, transfer, "stat", JOB_SOURCE, -result);
    if (!S_ISREG(source.stx_mode)) {
        job_warn(job, transfer->batch->directory, transfer->name, "is no regular file any more");
        job_completed(job, &job->skipped);
        return give_up(host, transfer);
    }
    take_attributes(transfer, &source);
    return start(host, transfer,
                 (struct io_op){
                     .kind = IO_OPEN,
                     .latency = job->destination_latency,
                     .fd = transfer->batch->directory->destination_fd,
                     .name = transfer->name,
                     .flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     .mode = transfer->mode,
                 },
                 step_opened_destination);
}

static enum transfer_state step_opened_destination(struct transfer_host *host,
                                                   struct transfer *transfer)
{
    struct copyengine_job *job = job_of(transfer);
    if (transfer->op.result < 0)
        return fail(host, transfer, "create", JOB_DESTINATION, -transfer->op.result);
    transfer->destination_fd = transfer->op.result;
    if (transfer->size == 0)
        return go_on(transfer, step_complete);
    if (!atomic_load_explicit(&job->pair.cannot_clone, memory_order_relaxed)) {
        if (ioctl(transfer->destination_fd, FICLONE, transfer->source_fd) == 0) {
            transfer->offset = transfer->size;
            job_moved(job, transfer->size);
            return go_on(transfer, step_complete);
        }
        if (device_pair_cannot(errno))
            atomic_store_explicit(&job->pair.cannot_clone, true, memory_order_relaxed);
    }
    return go_on(transfer, step_next_extent);
}

/* Finds the data from the offset on; what lies before it is a hole, and stays one. */
static enum transfer_state step_next_extent(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->offset >= transfer->size)
        return go_on(transfer, step_complete);
    transfer->extent_end = transfer->size;
    if (transfer->sparse) {
        off_t data = lseek(transfer->source_fd, (off_t)transfer->offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO) { /* no more data */
            transfer->offset = transfer->size;
            return go_on(transfer, step_complete);
        }
        off_t hole = data < 0 ? -1 : lseek(transfer->source_fd, data, SEEK_HOLE);
        if (data >= 0 && hole > data) {
            transfer->offset = MIN((uint64_t)data, transfer->size);
            transfer->extent_end = MIN((uint64_t)hole, transfer->size);
        } else if (errno == EINVAL) {
            transfer->sparse = false; /* this file system does not tell */
        } else {
            return fail(host, transfer, "seek", JOB_SOURCE, data < 0 || hole < 0 ? errno : EIO);
        }
    }
    return go_on(transfer, step_copy);
}

static void wait_for_bandwidth(struct transfer_host *host, struct transfer *transfer,
                               uint64_t bytes)
{
    uint64_t wait_ns = limit_take(&host->engine->limit, bytes);
    while (wait_ns > 0 && !job_is_stopped(job_of(transfer))) {
        uint64_t now_ns = MIN(wait_ns, (uint64_t)SLEEP_MAX_NS);
        nanosleep(&(struct timespec){.tv_nsec = (long)now_ns}, NULL);
        wait_ns -= now_ns;
    }
}

static void moved(struct transfer *transfer, uint64_t bytes)
{
    transfer->offset += bytes;
    transfer->since_yield += bytes;
    job_moved(job_of(transfer), bytes);
}

/* Lets the kernel copy a piece. Returns false when it cannot between these two files. */
static bool copy_in_kernel(struct transfer_host *host, struct transfer *transfer, uint64_t bytes,
                           enum transfer_state *ret)
{
    struct copyengine_job *job = job_of(transfer);
    loff_t from = (loff_t)transfer->offset;
    loff_t to = from;
    ssize_t copied =
        copy_file_range(transfer->source_fd, &from, transfer->destination_fd, &to, bytes, 0);
    if (copied > 0) {
        moved(transfer, (uint64_t)copied);
        *ret = TRANSFER_ADVANCE;
        return true;
    }
    if (copied < 0 && errno != EINTR && !device_pair_cannot(errno)) {
        *ret = fail(host, transfer, "copy_file_range", JOB_DESTINATION, errno);
        return true;
    }
    if (copied < 0 && errno != EINTR)
        atomic_store_explicit(&job->pair.cannot_copy_range, true, memory_order_relaxed);
    return false; /* 0: the end of the file, or one that only read(2) can tell the size of */
}

static enum transfer_state step_copy(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = job_of(transfer);
    if (job_is_stopped(job))
        return give_up(host, transfer);
    if (transfer->offset >= transfer->extent_end)
        return go_on(transfer, step_next_extent);
    if (transfer->since_yield >= YIELD_BYTES) {
        transfer->since_yield = 0;
        if (schedule_has_lesser(host->engine, atomic_load(&job->service)))
            return TRANSFER_YIELDED;
    }
    uint64_t left = transfer->extent_end - transfer->offset;
    bool in_kernel = !atomic_load_explicit(&job->pair.cannot_copy_range, memory_order_relaxed);
    uint64_t piece = MIN(left, in_kernel ? (uint64_t)PIECE_BYTES : host->buffers->buffer_bytes);
    piece = limit_piece(&host->engine->limit, piece);
    if (!in_kernel && host->free_buffer_count == 0)
        return TRANSFER_STARVED;
    wait_for_bandwidth(host, transfer, piece);
    enum transfer_state state;
    if (in_kernel && copy_in_kernel(host, transfer, piece, &state))
        return state;
    if (host->free_buffer_count == 0)
        return TRANSFER_STARVED;
    transfer->buffer_index = host->free_buffers[--host->free_buffer_count];
    size_t buffer_bytes = host->buffers->buffer_bytes;
    return start(host, transfer,
                 (struct io_op){
                     .kind = IO_READ,
                     .latency = job->source_latency,
                     .fd = transfer->source_fd,
                     .data = host->buffers->memory + (size_t)transfer->buffer_index * buffer_bytes,
                     .length = MIN(piece, buffer_bytes),
                     .offset = transfer->offset,
                     .buffer_index = transfer->buffer_index,
                 },
                 step_have_read);
}

static enum transfer_state step_have_read(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->op.result < 0)
        return fail(host, transfer, "read", JOB_SOURCE, -transfer->op.result);
    if (transfer->op.result == 0) { /* shorter than it was: step_complete sees that */
        release_buffer(host, transfer);
        return go_on(transfer, step_complete);
    }
    struct io_op op = transfer->op;
    op.kind = IO_WRITE;
    op.latency = job_of(transfer)->destination_latency;
    op.fd = transfer->destination_fd;
    op.length = (size_t)transfer->op.result;
    return start(host, transfer, op, step_have_written);
}

static enum transfer_state step_have_written(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->op.result <= 0)
        return fail(host, transfer, "write", JOB_DESTINATION,
                    transfer->op.result < 0 ? -transfer->op.result : EIO);
    uint64_t written = (uint64_t)transfer->op.result;
    moved(transfer, written);
    if (written < transfer->op.length) {
        struct io_op op = transfer->op;
        op.data = (char *)op.data + written;
        op.length -= written;
        op.offset += written;
        return start(host, transfer, op, step_have_written);
    }
    release_buffer(host, transfer);
    return go_on(transfer, step_copy);
}

static bool same_time(struct timespec a, struct statx_timestamp b)
{
    return a.tv_sec == b.tv_sec && (uint32_t)a.tv_nsec == b.tv_nsec;
}

/* All bytes are there. Was it one file that was read, or two versions of it mixed? */
static enum transfer_state step_complete(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = job_of(transfer);
    struct statx source;
    int result = stat_source(transfer, &source);
    if (result < 0)
        return fail(host, transfer, "stat", JOB_SOURCE, -result);
    bool changed = transfer->offset != transfer->size || source.stx_size != transfer->size ||
                   !same_time(transfer->mtime, source.stx_mtime) ||
                   !same_time(transfer->ctime, source.stx_ctime);
    if (changed && transfer->retried) {
        job_fail_because(job, "read", JOB_SOURCE, transfer->batch->directory, transfer->name,
                         ESTALE, "the file changed while it was copied, twice");
        return give_up(host, transfer);
    }
    if (changed) {
        transfer->retried = true;
        transfer->offset = 0;
        take_attributes(transfer, &source);
        if (ftruncate(transfer->destination_fd, 0) < 0)
            return fail(host, transfer, "truncate", JOB_DESTINATION, errno);
        return go_on(transfer, transfer->size == 0 ? step_complete : step_next_extent);
    }
    if (transfer->sparse && ftruncate(transfer->destination_fd, (off_t)transfer->size) < 0)
        return fail(host, transfer, "truncate", JOB_DESTINATION, errno);
    if ((job->modes_need_setting || transfer->retried) &&
        fchmod(transfer->destination_fd, transfer->mode) < 0)
        return fail(host, transfer, "chmod", JOB_DESTINATION, errno);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, transfer->mtime};
    if (futimens(transfer->destination_fd, times) < 0)
        return fail(host, transfer, "utimens", JOB_DESTINATION, errno);
    return start(host, transfer,
                 (struct io_op){
                     .kind = IO_CLOSE,
                     .latency = job->destination_latency,
                     .fd = steal_fd(&transfer->destination_fd),
                 },
                 step_close_source);
}

static enum transfer_state step_close_source(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->op.result < 0) /* a server may say only now that the disk is full */
        return fail(host, transfer, "close", JOB_DESTINATION, -transfer->op.result);
    return start(host, transfer,
                 (struct io_op){
                     .kind = IO_CLOSE,
                     .latency = job_of(transfer)->source_latency,
                     .fd = steal_fd(&transfer->source_fd),
                 },
                 step_finish);
}

static enum transfer_state step_finish(struct transfer_host *host, struct transfer *transfer)
{
    (void)host;
    struct copyengine_job *job = job_of(transfer);
    job_completed(job, &job->files);
    batch_release(transfer->batch);
    return TRANSFER_DONE;
}
