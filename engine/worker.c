/*
 * A thread that copies files, many at once where operations are queued, and reads directories that
 * are in memory. It prefers, in this order: operations that completed, files that it has taken and
 * not begun (others were, while those waited for their bandwidth), files of the job that has had
 * least, directories.
 */
#include "engine/worker.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/thread.h"
#include "engine/transfer.h"
#include "engine/walk.h"

#include <assert.h>
#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>

enum {
    TRANSFERS_OF_THREAD = 8, /* one runs, others may wait for their bandwidth */
    BUFFER_BYTES = 128 << 10,
    BUFFERS_BYTES_MAX = 24 << 20, /* of all workers together */
    SLICES_MAX = 4,
};

#define DELAY_LOOK_NS (10 * NS_PER_MS) /* under a bandwidth cap: whether the job was stopped */

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
    struct device_pair *pair; /* a worker that waits: of what it has taken; NULL: nothing */
    struct transfer *transfers;
    unsigned transfer_count;
    struct transfer_list unused;
    struct transfer_list starved;
    struct transfer_list delayed;
    unsigned under_way; /* of the transfers, the delayed ones included */
    unsigned delayed_count;
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
    case TRANSFER_STARVED:
        list_append(&worker->starved, transfer);
        break;
    case TRANSFER_DELAYED:
        list_append(&worker->delayed, transfer);
        worker->delayed_count++;
        break;
    case TRANSFER_DONE:
        list_push(&worker->unused, transfer);
        worker->under_way--;
        engine_count(worker->host.engine);
        break;
    default:
        break;
    }
}

/* Goes on with transfers whose operations are complete, and with those that waited for that. */
static void run_completed(struct worker *worker, struct io_op *op)
{
    const struct io_port *port = &worker->host.port;
    for (; op; op = port->backend->reap(port->io, 0))
        run(worker, CONTAINER_OF(op, struct transfer, op));
    struct transfer_list starved = worker->starved;
    worker->starved = (struct transfer_list){0};
    for (struct transfer *transfer; (transfer = list_pop(&starved));)
        run(worker, transfer);
}

/* Goes on with those whose time has come, or whose job has stopped. */
static void run_due(struct worker *worker)
{
    struct transfer_list waiting = worker->delayed;
    uint64_t now_ns = waiting.first ? clock_monotonic_ns() : 0;
    worker->delayed = (struct transfer_list){0};
    for (struct transfer *transfer; (transfer = list_pop(&waiting));) {
        if (transfer->due_ns <= now_ns || job_is_stopped(transfer->file->batch->directory->job)) {
            worker->delayed_count--;
            run(worker, transfer);
        } else {
            list_append(&worker->delayed, transfer);
        }
    }
}

/* How long a worker without anything to do may sleep: until a delayed transfer is due. */
static uint64_t sleep_ns(const struct worker *worker)
{
    if (!worker->delayed.first)
        return UINT64_MAX;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t until_ns = now_ns + DELAY_LOOK_NS;
    for (const struct transfer *delayed = worker->delayed.first; delayed; delayed = delayed->next)
        until_ns = MIN(until_ns, MAX(delayed->due_ns, now_ns + 1));
    return until_ns - now_ns;
}

bool worker_delays(const struct worker *worker, const struct copyengine_job *job)
{
    const struct transfer *transfer = worker->delayed.first;
    while (transfer && transfer->file->batch->directory->job != job)
        transfer = transfer->next;
    return transfer;
}

static struct copyengine_job *job_of(const struct slice *slice)
{
    return (slice->file ? slice->file->batch : slice->batch)->directory->job;
}

/* Of what it has taken, the slice of the job that has had least; else a new one. */
static struct slice *find_slice(struct worker *worker)
{
    struct slice *best = NULL;
    struct slice *unused = NULL;
    unsigned long long least = ULLONG_MAX;
    for (size_t i = 0; i < SLICES_MAX; i++) {
        struct slice *slice = &worker->slices[i];
        if (!slice->batch && !slice->file) {
            unused = slice;
        } else if (!worker_delays(worker, job_of(slice)) &&
                   schedule_service(job_of(slice)) < least) {
            best = slice;
            least = schedule_service(job_of(slice));
        }
    }
    if (best)
        return best;
    if (unused && schedule_take_slice(worker->host.engine, worker, unused))
        return unused;
    return NULL;
}

/* Whether several operations may be under way at once. */
static bool queues(const struct worker *worker)
{
    return worker->host.port.backend->queues && !worker_waits(worker);
}

/* Whether another transfer may begin on this worker. */
static bool has_room(const struct worker *worker)
{
    struct copyengine *engine = worker->host.engine;
    unsigned window = queues(worker) ? tuner_value(&engine->waiting) / engine->processors : 1;
    return worker->unused.first && !worker->starved.first &&
           worker->under_way - worker->delayed_count < window;
}

static void read_directory(struct worker *worker, struct directory *directory)
{
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    walk_read(worker->host.engine, &worker->host.port, directory, buffer);
}

/* Begins a file, or a range of one; or reads a directory. */
static bool begin(struct worker *worker)
{
    struct slice *slice = has_room(worker) ? find_slice(worker) : NULL;
    if (!slice)
        return false;
    if (slice->directory) {
        read_directory(worker, slice->directory);
        slice->directory = NULL;
        return true;
    }
    if (slice->batch && job_is_stopped(job_of(slice))) {
        struct batch *batch = slice->batch;
        if (++slice->next == slice->end)
            slice->batch = NULL;
        batch_release(&worker->host.port, batch);
        return true;
    }
    struct transfer *transfer = list_pop(&worker->unused);
    if (slice->file) {
        transfer_begin_range(transfer, slice->file, slice->offset, slice->range_end);
        slice->file = NULL;
    } else {
        assert(slice->batch);
        transfer_begin(transfer, slice->batch, slice->batch->names[slice->next++]);
        if (slice->next == slice->end)
            slice->batch = NULL;
    }
    worker->under_way++;
    run(worker, transfer);
    return true;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct copyengine *engine = worker->host.engine;
    const struct io_port *port = &worker->host.port;
    bool one_is_left = engine_enter_thread(engine);
    do {
        do {
            engine_choose_processors(engine, &one_is_left);
            run_completed(worker, port->backend->reap(port->io, 0));
            run_due(worker);
        } while (begin(worker));
        run_completed(worker, port->backend->reap(port->io, sleep_ns(worker)));
    } while (!atomic_load(&engine->stopping));
    return NULL;
}

unsigned worker_number(const struct worker *worker)
{
    return worker->number;
}

bool worker_waits(const struct worker *worker)
{
    return worker->number >= worker->host.engine->processors;
}

static void set_idle(struct worker *worker, bool idle)
{
    unsigned *count = &worker->host.engine->idle_workers[worker_waits(worker)];
    *count = *count + idle - worker->idle;
    worker->idle = idle;
}

void worker_set_work(struct worker *worker, const struct copyengine_job *job)
{
    set_idle(worker, !job);
    if (!worker_waits(worker))
        return;
    struct copyengine *engine = worker->host.engine;
    if (worker->pair) {
        worker->pair->workers--;
        engine->waiting_workers--;
    }
    worker->pair = job ? job->pair : NULL;
    if (worker->pair) {
        worker->pair->workers++;
        engine->waiting_workers++;
    }
}

unsigned worker_wake_if_idle(struct worker *worker)
{
    if (!worker->idle)
        return 0;
    set_idle(worker, false);
    worker->host.port.backend->wake(worker->host.port.io);
    return 1;
}

static void worker_free(struct worker *worker)
{
    if (worker->host.port.io)
        worker->host.port.backend->destroy(worker->host.port.io);
    if (worker->buffers.memory)
        munmap(worker->buffers.memory, worker->buffers.count * worker->buffers.buffer_bytes);
    for (unsigned i = 0; worker->transfers && i < worker->transfer_count; i++)
        XXH3_freeState(worker->transfers[i].hash);
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
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    struct io_port *port = &worker->host.port;
    worker->host.engine = engine;
    worker->number = number;
    port->backend = worker_waits(worker) ? engine->waiting_backend : engine->backend;
    unsigned transfers = queues(worker) ? engine->transfers_in_ring : TRANSFERS_OF_THREAD;
    worker->transfers = calloc(transfers, sizeof(*worker->transfers));
    worker->transfer_count = transfers;
    int result = worker->transfers ? allocate_buffers(worker, transfers) : -ENOMEM;
    for (unsigned i = 0; result == 0 && i < transfers; i++)
        list_push(&worker->unused, &worker->transfers[i]);
    if (result == 0)
        result = port->backend->create(transfers, &worker->buffers, &port->io);
    if (result == 0)
        result = -thread_start_with_stack(&worker->thread, THREAD_SMALL_STACK_BYTES, worker_main,
                                          worker);
    if (result < 0) {
        worker_free(worker);
        return result;
    }
    *ret = worker;
    return 0;
}

void worker_stop(struct worker *worker)
{
    worker->host.port.backend->wake(worker->host.port.io);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}

void worker_leave_behind(struct worker *worker)
{
    pthread_detach(worker->thread);
    worker->host.port.backend->wake(worker->host.port.io);
}
