/*
 * A thread that copies files, many at once where operations are queued, and reads directories that
 * are in memory. It prefers, in this order: operations that completed, files that it has taken and
 * not begun (others were, while those waited for their time), files of the job that has had least,
 * directories.
 */
#include "engine/worker.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/release.h"
#include "engine/thread.h"
#include "engine/transfer_copy.h"
#include "engine/transfer_supply.h"
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

/* While a transfer is delayed: how often to check whether its job was stopped. */
#define DELAY_CHECK_NS (10 * NS_PER_MS)

struct transfer_list {
    struct transfer *first;
    struct transfer *last;
};

struct worker {
    const struct worker_settings *settings;
    struct seat seat;
    struct transfer_host host;
    struct io_buffers buffers;
    int free_buffers[IO_BUFFERS_MAX];
    pthread_t thread;
    struct transfer *transfers;
    unsigned transfer_count;
    struct transfer_list unused;
    struct transfer_list starved;
    unsigned under_way;              /* of the transfers, the delayed ones included */
    unsigned delayed_count;          /* those in the seat's list */
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

static void run_transfer(struct worker *worker, struct transfer *transfer)
{
    switch (transfer_run(&worker->host, transfer)) {
    case TRANSFER_STARVED:
        list_append(&worker->starved, transfer);
        break;
    case TRANSFER_DELAYED:
        delay_list_append(&worker->seat.delays, &transfer->delay);
        worker->delayed_count++;
        break;
    case TRANSFER_DONE:
        list_push(&worker->unused, transfer);
        assert(worker->under_way > 0);
        worker->under_way--;
        schedule_count_completed(worker->settings->schedule);
        break;
    default:
        break;
    }
}

/* Goes on with transfers whose operations are complete, and with those that waited for that. */
static void run_completed(struct worker *worker, struct io_op *op)
{
    const struct io_port *port = &worker->host.port;
    for (; op; op = port->backend->reap(port->io, 0)) {
        struct transfer *transfer = CONTAINER_OF(op, struct transfer, op);
        assert(transfer >= worker->transfers);
        assert(transfer < worker->transfers + worker->transfer_count);
        run_transfer(worker, transfer);
    }
    struct transfer_list starved = worker->starved;
    worker->starved = (struct transfer_list){0};
    for (struct transfer *transfer; (transfer = list_pop(&starved));)
        run_transfer(worker, transfer);
}

/* Goes on with those whose time has come, or whose job has stopped. */
static void run_due(struct worker *worker)
{
    struct delay_list delayed = worker->seat.delays;
    uint64_t now_ns = delayed.first ? clock_monotonic_ns() : 0;
    worker->seat.delays = (struct delay_list){0};
    for (struct delay *delay; (delay = delay_list_pop(&delayed));) {
        if (delay->due_ns <= now_ns || job_is_stopped(delay->job)) {
            assert(worker->delayed_count > 0);
            worker->delayed_count--;
            run_transfer(worker, CONTAINER_OF(delay, struct transfer, delay));
        } else {
            delay_list_append(&worker->seat.delays, delay);
        }
    }
}

/* How long a worker without anything to do may sleep: until a delayed transfer is due. */
static uint64_t sleep_ns(const struct worker *worker)
{
    const struct delay *first = worker->seat.delays.first;
    if (!first)
        return UINT64_MAX;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t until_ns = now_ns + DELAY_CHECK_NS;
    for (const struct delay *delay = first; delay; delay = delay->next)
        until_ns = MIN(until_ns, MAX(delay->due_ns, now_ns + 1));
    return until_ns - now_ns;
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
        } else if (!delay_list_has_job(&worker->seat.delays, job_of(slice)) &&
                   job_weigh_service(job_of(slice)) < least) {
            best = slice;
            least = job_weigh_service(job_of(slice));
        }
    }
    if (best)
        return best;
    if (unused && schedule_take_slice(worker->settings->schedule, &worker->seat, unused))
        return unused;
    return NULL;
}

/* Whether several operations may be under way at once. */
static bool queues(const struct worker *worker)
{
    return worker->host.port.backend->queues && !worker->seat.blocking;
}

/* Whether another transfer may begin on this worker. */
static bool has_room(const struct worker *worker)
{
    struct schedule *schedule = worker->settings->schedule;
    unsigned window =
        queues(worker) ? tuner_value(&schedule->in_flight_tuner) / schedule->processors : 1;
    assert(worker->delayed_count <= worker->under_way);
    assert(worker->under_way <= worker->transfer_count);
    return worker->unused.first && !worker->starved.first &&
           worker->under_way - worker->delayed_count < window;
}

static void read_directory(struct worker *worker, struct directory *directory)
{
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    walk_read(&worker->host.port, directory, buffer);
}

/* Begins a unit of a supply; those of a job that has stopped it lets go of. */
static bool begin_unit(struct worker *worker, struct slice *slice)
{
    struct slice taken = *slice;
    slice->supplied = NULL;
    if (job_is_stopped(taken.supplied) ||
        !transfer_begin_unit(worker->unused.first, taken.supplied, taken.unit)) {
        transfer_drop_units(&worker->host.port, taken.supplied, taken.unit, taken.unit_end);
        return true;
    }
    worker->under_way++;
    run_transfer(worker, list_pop(&worker->unused));
    return true;
}

/* Begins a file, a range of one, or a unit; or reads a directory. */
static bool begin_next(struct worker *worker)
{
    struct slice *slice = has_room(worker) ? find_slice(worker) : NULL;
    if (!slice)
        return false;
    if (slice->directory) {
        read_directory(worker, slice->directory);
        slice->directory = NULL;
        return true;
    }
    if (slice->supplied)
        return begin_unit(worker, slice);
    if (slice->batch && job_is_stopped(job_of(slice))) {
        struct batch *batch = slice->batch;
        unsigned number = slice->next++;
        if (slice->next == slice->end)
            slice->batch = NULL;
        transfer_drop_file(&worker->host.port, batch, number);
        return true;
    }
    struct transfer *transfer = list_pop(&worker->unused);
    if (slice->file) {
        transfer_begin_range(transfer, slice->file, slice->offset, slice->range_end);
        slice->file = NULL;
    } else {
        assert(slice->batch && slice->next < slice->end);
        transfer_begin(transfer, slice->batch, slice->next++);
        if (slice->next == slice->end)
            slice->batch = NULL;
    }
    worker->under_way++;
    run_transfer(worker, transfer);
    return true;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    const struct engine_thread_settings *thread = &worker->settings->thread;
    const struct io_port *port = &worker->host.port;
    bool one_is_left = engine_thread_enter(thread);
    do {
        do {
            engine_thread_choose_processors(thread, &one_is_left);
            run_completed(worker, port->backend->reap(port->io, 0));
            run_due(worker);
        } while (begin_next(worker));
        run_completed(worker, port->backend->reap(port->io, sleep_ns(worker)));
    } while (!schedule_is_stopping(worker->settings->schedule));
    return NULL;
}

static void worker_free(struct worker *worker)
{
    if (worker->host.port.io)
        worker->host.port.backend->destroy(worker->host.port.io);
    if (worker->buffers.memory)
        munmap(worker->buffers.memory, worker->buffers.count * worker->buffers.buffer_bytes);
    for (unsigned i = 0; worker->transfers && i < worker->transfer_count; i++)
        digest_free(&worker->transfers[i].digest);
    free(worker->transfers);
    free(worker);
}

/* Untouched pages cost nothing: a thread that does one thing at a time uses one buffer of many. */
static int allocate_buffers(struct worker *worker, unsigned wanted)
{
    unsigned fair =
        BUFFERS_BYTES_MAX / BUFFER_BYTES / MAX(worker->settings->schedule->processors, 1U);
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

int worker_start(const struct worker_settings *settings, unsigned number, struct seat **ret)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    struct io_port *port = &worker->host.port;
    bool blocking = number >= settings->schedule->processors;
    worker->settings = settings;
    worker->seat = (struct seat){.number = number, .blocking = blocking, .port = port};
    port->backend = blocking ? settings->blocking_backend : settings->backend;
    unsigned transfers = queues(worker) ? settings->transfers_in_ring : TRANSFERS_OF_THREAD;
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
    *ret = &worker->seat;
    return 0;
}

static struct worker *worker_of(struct seat *seat)
{
    return CONTAINER_OF(seat, struct worker, seat);
}

void worker_stop(struct seat *seat)
{
    struct worker *worker = worker_of(seat);
    worker->host.port.backend->wake(worker->host.port.io);
    pthread_join(worker->thread, NULL);
    assert(worker->under_way == 0 && worker->delayed_count == 0);
    assert(worker->host.free_buffer_count == worker->buffers.count);
    worker_free(worker);
}

void worker_leave_behind(struct seat *seat)
{
    struct worker *worker = worker_of(seat);
    pthread_detach(worker->thread);
    worker->host.port.backend->wake(worker->host.port.io);
}
