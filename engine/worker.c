/*
 * A thread that copies files, many at once where operations are queued. It prefers, in this order:
 * operations that completed, files of the job that has had least, files that it set aside for them.
 */
#include "engine/worker.h"

#include "engine/compiler.h"
#include "engine/transfer.h"

#include <limits.h>
#include <sys/mman.h>

enum {
    BUFFER_BYTES = 128 << 10,
    BUFFERS_BYTES_MAX = 24 << 20, /* of all workers together */
    SLICES_MAX = 4,
};

struct transfer_list {
    struct transfer *first;
    struct transfer *last;
};

struct worker {
    struct transfer_host host;
    struct io_buffers buffers;
    int free_buffers[IO_BUFFERS_MAX];
    unsigned number;
    bool idle; /* under the engine's lock */
    pthread_t thread;
    struct transfer *transfers;
    struct transfer_list unused;
    struct transfer_list starved;
    struct transfer_list yielded;
    struct slice slices[SLICES_MAX]; /* taken, not begun yet */
};

static void list_append(struct transfer_list *list, struct transfer *transfer)
{
    transfer->next = NULL;
    if (list->first)
        list->last->next = transfer;
    else
        list->first = transfer;
    list->last = transfer;
}

static void list_push(struct transfer_list *list, struct transfer *transfer)
{
    transfer->next = list->first;
    list->first = transfer;
}

static struct transfer *list_pop(struct transfer_list *list)
{
    struct transfer *transfer = list->first;
    if (transfer)
        list->first = transfer->next;
    return transfer;
}

static void run(struct worker *worker, struct transfer *transfer)
{
    switch (transfer_run(&worker->host, transfer)) {
    case TRANSFER_DONE:
        list_push(&worker->unused, transfer); /* its memory is warm: the next file gets it */
        break;
    case TRANSFER_STARVED:
        list_append(&worker->starved, transfer);
        break;
    case TRANSFER_YIELDED:
        list_append(&worker->yielded, transfer);
        break;
    case TRANSFER_QUEUED:
    case TRANSFER_ADVANCE:
        break;
    }
}

/* Runs what completed, then those that waited for room. */
static void run_completed(struct worker *worker, struct io_op *op)
{
    for (; op; op = worker->host.engine->backend->reap(worker->host.io, false))
        run(worker, CONTAINER_OF(op, struct transfer, op));
    struct transfer_list starved = worker->starved;
    worker->starved = (struct transfer_list){0};
    for (struct transfer *transfer; (transfer = list_pop(&starved));)
        run(worker, transfer);
}

static unsigned long long service_of(const struct batch *batch)
{
    return atomic_load_explicit(&batch->directory->job->service, memory_order_relaxed);
}

/* The slice of the job that has had least, if that is less than `service_below`. */
static struct slice *find_slice(struct worker *worker, unsigned long long service_below)
{
    struct slice *best = NULL;
    struct slice *unused = NULL;
    for (size_t i = 0; i < SLICES_MAX; i++) {
        struct slice *slice = &worker->slices[i];
        if (!slice->batch) {
            unused = slice;
        } else if (service_of(slice->batch) < service_below) {
            best = slice;
            service_below = service_of(slice->batch);
        }
    }
    if (best)
        return best;
    if (unused && schedule_take_files(worker->host.engine, worker, service_below, unused))
        return unused;
    return NULL;
}

static bool begin_file(struct worker *worker)
{
    const struct transfer *yielded = worker->yielded.first;
    if (!worker->unused.first || worker->starved.first)
        return false;
    struct slice *slice = find_slice(worker, yielded ? service_of(yielded->batch) : ULLONG_MAX);
    if (!slice)
        return false;
    struct batch *batch = slice->batch;
    const char *name = batch->names[slice->next++];
    if (slice->next == slice->end)
        slice->batch = NULL;
    if (job_is_stopped(batch->directory->job)) {
        batch_release(batch);
        return true;
    }
    struct transfer *transfer = list_pop(&worker->unused);
    transfer_begin(transfer, batch, name);
    run(worker, transfer);
    return true;
}

static bool continue_yielded(struct worker *worker)
{
    struct transfer *transfer = list_pop(&worker->yielded);
    if (transfer)
        run(worker, transfer);
    return transfer;
}

static bool is_stopping(struct copyengine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->lock);
    return stopping;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct copyengine *engine = worker->host.engine;
    engine_enter_thread(engine);
    do {
        do {
            run_completed(worker, engine->backend->reap(worker->host.io, false));
        } while (begin_file(worker) || continue_yielded(worker));
        run_completed(worker, engine->backend->reap(worker->host.io, true));
    } while (!is_stopping(engine));
    return NULL;
}

unsigned worker_number(const struct worker *worker)
{
    return worker->number;
}

void worker_set_idle(struct worker *worker, bool idle)
{
    worker->idle = idle;
}

unsigned worker_wake_if_idle(struct worker *worker)
{
    if (!worker->idle)
        return 0;
    worker->idle = false;
    worker->host.engine->backend->wake(worker->host.io);
    return 1;
}

static void worker_free(struct worker *worker)
{
    if (worker->host.io)
        worker->host.engine->backend->destroy(worker->host.io);
    if (worker->buffers.memory)
        munmap(worker->buffers.memory, worker->buffers.count * worker->buffers.buffer_bytes);
    free(worker->transfers);
    free(worker);
}

/* Untouched pages cost nothing: a thread that does one thing at a time uses one buffer of many. */
static int allocate_buffers(struct worker *worker, unsigned wanted)
{
    unsigned fair = BUFFERS_BYTES_MAX / BUFFER_BYTES / MAX(worker->host.engine->processors, 1U);
    unsigned count = MIN(MIN(wanted, MAX(fair, 4U)), (unsigned)IO_BUFFERS_MAX);
    void *memory = mmap(NULL, (size_t)count * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    worker->buffers =
        (struct io_buffers){.memory = memory, .buffer_bytes = BUFFER_BYTES, .count = count};
    worker->host.buffers = &worker->buffers;
    worker->host.free_buffers = worker->free_buffers;
    for (unsigned i = 0; i < count; i++)
        worker->free_buffers[i] = (int)(count - 1 - i); /* the one used last is the warmest */
    worker->host.free_buffer_count = count;
    return 0;
}

int worker_start(struct copyengine *engine, unsigned number, struct worker **ret)
{
    unsigned transfers = engine->transfers_per_worker;
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->host.engine = engine;
    worker->number = number;
    worker->transfers = calloc(transfers, sizeof(*worker->transfers));
    int result = worker->transfers ? allocate_buffers(worker, transfers) : -ENOMEM;
    for (unsigned i = 0; result == 0 && i < transfers; i++)
        list_push(&worker->unused, &worker->transfers[i]);
    if (result == 0)
        result = engine->backend->create(transfers, &worker->buffers, &worker->host.io);
    if (result == 0)
        result = -pthread_create(&worker->thread, NULL, worker_main, worker);
    if (result < 0) {
        worker_free(worker);
        return result;
    }
    *ret = worker;
    return 0;
}

void worker_stop(struct worker *worker)
{
    worker->host.engine->backend->wake(worker->host.io);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}
