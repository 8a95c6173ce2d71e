/*
 * What all transfers are made of: starting operations and going on, ending, buffers, bandwidth,
 * digests. The steps themselves are in transfer_copy.c, transfer_data.c and transfer_scan.c; each
 * looks at the result of the operation before it and starts the next, so that the same code runs
 * when operations are done at once and when they are queued.
 */
#include "engine/transfer.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/release.h"

#include <assert.h>

/* How often an open is tried again while a lease is being given back, and for how long at most. */
#define LEASE_RETRY_NS (10 * NS_PER_MS)
#define LEASE_WAIT_NS  (300 * NS_PER_S)

static struct file file_of_batch(struct batch *batch, unsigned number)
{
    assert(number < batch->count);
    return (struct file){.batch = batch,
                         .name = batch->names[number],
                         .entry = batch->entries ? batch->entries[number] : 0,
                         .supplied = batch->entries,
                         .donated = batch->donated,
                         .source_fd = -1,
                         .destination_fd = -1};
}

void transfer_begin(struct transfer *transfer, struct batch *batch, unsigned number)
{
    struct copyengine_job *job = batch->directory->job;
    *transfer = (struct transfer){
        .own = file_of_batch(batch, number),
        .delay = {.job = job},
        .buffer_index = -1,
        .digest = {.state = transfer->digest.state, .kind = job->digest_kind},
    };
    transfer->file = &transfer->own;
    job->kind->begin(transfer);
    assert(transfer->step);
}

enum transfer_state transfer_run(struct transfer_host *host, struct transfer *transfer)
{
    enum transfer_state state;
    do {
        state = transfer->step(host, transfer);
    } while (state == TRANSFER_ADVANCE);
    assert(state != TRANSFER_DONE || transfer->buffer_index < 0);
    return state;
}

void transfer_allow_links(struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct batch *batches = hard_link_ready(&job->hard_links, transfer->file);
    if (batches)
        schedule_add_batches(job->common->schedule, job, batches);
}

/* A file is done, whatever became of it. */
static void release_file(const struct io_port *port, struct file *file)
{
    const struct copyengine_job *job = file->batch->directory->job;
    if (job->kind->end_file)
        job->kind->end_file(port, file);
    batch_release(port, file->batch);
}

void transfer_drop_file(const struct io_port *port, struct batch *batch, unsigned number)
{
    struct file file = file_of_batch(batch, number);
    release_file(port, &file);
}

bool transfer_release_range(struct transfer *transfer)
{
    if (!transfer->file->shared)
        return true;
    unsigned before = atomic_fetch_sub(&transfer->file->references, 1);
    assert(before > 0);
    return before == 1;
}

enum transfer_state transfer_give_up(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    transfer_release_buffer(host, transfer);
    if (!transfer_release_range(transfer))
        return TRANSFER_DONE;
    transfer_allow_links(transfer);
    cleanup_close_fd(&file->source_fd);
    cleanup_close_fd(&file->destination_fd);
    release_file(&host->port, file);
    if (file->shared)
        free(file);
    return TRANSFER_DONE;
}

enum transfer_state transfer_fail(struct transfer_host *host, struct transfer *transfer,
                                  const char *operation, enum job_side side, int64_t code)
{
    struct file *file = transfer->file;
    if (file->donated && side == JOB_SOURCE) {
        transfer_release_buffer(host, transfer);
        atomic_store(&file->shorter, true);
        return transfer_go_on(transfer, transfer->copied);
    }
    job_fail(transfer_job(transfer), operation, side, file->batch->directory, file->name,
             (int)code);
    return transfer_give_up(host, transfer);
}

static enum transfer_state step_submit(struct transfer_host *host, struct transfer *transfer)
{
    enum io_answer answer = host->port.backend->submit(host->port.io, &transfer->op);
    if (answer == IO_BUSY)
        return TRANSFER_STARVED;
    transfer->step = transfer->after;
    return answer == IO_DONE ? TRANSFER_ADVANCE : TRANSFER_QUEUED;
}

enum transfer_state transfer_start(struct transfer_host *host, struct transfer *transfer,
                                   struct io_op op, transfer_step *next)
{
    transfer->op = op;
    transfer->after = next;
    transfer->step = step_submit;
    return step_submit(host, transfer);
}

bool transfer_waits_for_lease(struct transfer *transfer)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (transfer->leased_ns == 0)
        transfer->leased_ns = now_ns;
    transfer->delay.due_ns = now_ns + LEASE_RETRY_NS;
    return !job_is_stopped(transfer_job(transfer)) && now_ns - transfer->leased_ns < LEASE_WAIT_NS;
}

bool transfer_take_buffer(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->buffer_index < 0 && host->free_buffer_count > 0)
        transfer->buffer_index = host->free_buffers[--host->free_buffer_count];
    return transfer->buffer_index >= 0;
}

void transfer_release_buffer(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->buffer_index >= 0) {
        assert(host->free_buffer_count < host->buffers->count);
        host->free_buffers[host->free_buffer_count++] = transfer->buffer_index;
    }
    transfer->buffer_index = -1;
}

char *transfer_buffer(const struct transfer_host *host, const struct transfer *transfer)
{
    assert(transfer->buffer_index >= 0);
    assert((unsigned)transfer->buffer_index < host->buffers->count);
    return host->buffers->memory + (size_t)transfer->buffer_index * host->buffers->buffer_bytes;
}

bool transfer_may_move(struct transfer *transfer, uint64_t *bytes)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct limit *engine_limit = &job->common->limit;
    struct limit *job_limit = &job->limit;
    if (transfer->allowed > 0) {
        *bytes = MIN(*bytes, transfer->allowed);
        return true;
    }
    *bytes = limit_piece(job_limit, limit_piece(engine_limit, *bytes));
    uint64_t due_ns = limit_take(engine_limit, *bytes);
    transfer->delay.due_ns = MAX(due_ns, limit_take(job_limit, *bytes));
    transfer->allowed = *bytes;
    assert(*bytes > 0);
    return transfer->delay.due_ns == 0;
}

void transfer_moved(struct transfer *transfer, uint64_t bytes)
{
    assert(transfer->offset + bytes >= transfer->offset);
    transfer->offset += bytes;
    transfer->allowed -= MIN(bytes, transfer->allowed);
    job_moved(transfer_job(transfer), bytes);
}

void transfer_learn_heat(struct device_pair *pair, uint64_t began_ns, int64_t bytes)
{
    bool hot = device_pair_learn(pair, began_ns, bytes);
    unsigned heat = atomic_load_explicit(&pair->hot, memory_order_relaxed);
    if (hot && heat < TRANSFER_HOT_READS)
        atomic_store_explicit(&pair->hot, heat + 1, memory_order_relaxed);
    else if (!hot)
        atomic_store_explicit(&pair->hot, 0, memory_order_relaxed);
}

int transfer_digest(struct transfer *transfer, const void *data, size_t length)
{
    struct file *file = transfer->file;
    struct digest *digest = &transfer->digest;
    assert(!file->has_digest && digest->length <= transfer->offset);
    if (transfer->offset == 0 && length == file->size && !file->file_system.sizes_may_lie) {
        int whole = digest_whole(digest, digest->kind, data, length, &file->digest);
        file->has_digest = whole == 0;
        return whole;
    }
    int result = 0;
    if (digest->length < transfer->offset)
        result = digest_add_hole(digest, transfer->offset - digest->length);
    return result < 0 ? result : digest_add(digest, data, length);
}

int transfer_end_digest(struct transfer *transfer)
{
    struct file *file = transfer->file;
    struct digest *digest = &transfer->digest;
    int result = 0;
    if (file->has_digest)
        return 0;
    assert(digest->length <= file->size);
    if (digest->length < file->size)
        result = digest_add_hole(digest, file->size - digest->length);
    if (result == 0)
        result = digest_end(digest, &file->digest);
    file->has_digest = result == 0;
    return result;
}

void transfer_find_blocks(struct transfer_host *host, struct transfer *transfer, int fd)
{
    const struct file *file = transfer->file;
    uint64_t data = transfer->offset, hole = file->size;
    assert(transfer->offset < file->size);
    if (file->holes == HOLES_TOLD)
        holes_find_data(&host->port, fd, transfer->offset, file->size, &data, &hole);
    data -= data < file->size ? data % DIGEST_BLOCK_BYTES : 0;
    hole += -hole % DIGEST_BLOCK_BYTES;
    transfer->offset = MAX(data, transfer->offset);
    transfer->extent_end = MIN(hole, file->size);
}
