/*
 * What all transfers are made of: starting operations and going on, ending, buffers, bandwidth,
 * digests. The steps themselves are in transfer_copy.c, transfer_data.c and transfer_scan.c; each
 * looks at the result of the operation before it and starts the next, so that the same code runs
 * when operations are done at once and when they are queued.
 */
#include "engine/transfer.h"

#include "engine/compiler.h"
#include "engine/digest.h"
#include "engine/release.h"

#include <assert.h>

void transfer_begin(struct transfer *transfer, struct batch *batch, const char *name)
{
    struct copyengine_job *job = batch->directory->job;
    *transfer = (struct transfer){
        .own = {.batch = batch, .name = name, .source_fd = -1, .destination_fd = -1},
        .delay = {.job = job},
        .buffer_index = -1,
        .hash = transfer->hash,
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
    batch_release(&host->port, file->batch);
    if (file->shared)
        free(file);
    return TRANSFER_DONE;
}

enum transfer_state transfer_fail(struct transfer_host *host, struct transfer *transfer,
                                  const char *operation, enum job_side side, int64_t code)
{
    const struct file *file = transfer->file;
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
    assert(!file->has_digest && transfer->offset + length <= file->size);
    if (transfer->offset == 0 && length == file->size) {
        file->digest = digest_of(data, length);
        file->has_digest = true;
        return 0;
    }
    if (!transfer->hash) {
        transfer->hash = XXH3_createState();
        if (!transfer->hash)
            return -ENOMEM;
    }
    if (transfer->offset == 0)
        XXH3_128bits_reset(transfer->hash);
    digest_update(transfer->hash, data, length);
    if (transfer->offset + length == file->size) {
        file->digest = XXH3_128bits_digest(transfer->hash);
        file->has_digest = true;
    }
    return 0;
}
