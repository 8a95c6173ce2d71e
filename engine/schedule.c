/*
 * Who does what next.
 *
 * Each job has a stack of directories to read and a queue of batches of files to copy. Readers take
 * from the stack, so a tree is walked depth first, and what waits is bounded by its depth, not by
 * its size: a directory of a million entries is read a piece at a time and goes back on the stack
 * in between. Readers stop while enough files wait, and more of them are woken, or started, while
 * few do: on a cached tree one is enough, on a server a millisecond away many are.
 *
 * Among jobs, the one that has had least service goes first ("least attained service"): small jobs
 * overtake large ones though nobody knows in advance which are small. A priority makes service
 * count for more or less, so nobody waits for ever.
 *
 * A worker takes more files at once the more are waiting (guided self-scheduling, Polychronopoulos
 * and Kuck 1987), so the lock is taken rarely and the end of a tree is shared out evenly. Large
 * files are shared out in ranges, which are taken before new files, so few of them are open.
 *
 * What waits for a server has workers of its own, beyond the processors: calls that block cost less
 * there than a ring, which would hand each to a kernel thread. A server that hangs has them hang,
 * too, but those of one source only: a quarter more may run for others, and what is local has the
 * first workers to itself.
 */
#include "engine/compiler.h"
#include "engine/engine.h"
#include "engine/transfer.h"
#include "engine/worker.h"

#include <assert.h>

enum {
    FILES_ENOUGH = 256,         /* waiting: one reader will do */
    REMOTE_FILES_ENOUGH = 1024, /* the same where hundreds are copied at once */
    FILES_MAX = 4096,           /* waiting: nobody reads on */
    SLICE_MAX = 32,             /* files that a worker takes at once */
    WOKEN_AT_ONCE = 4,          /* workers; each wakes another one if there is more to do */
    READERS_MAX_OF_CACHED = 2,  /* more only contend (measured) */
    PRIORITY_WEIGHT = 16,
};

unsigned long long schedule_service(struct copyengine_job *job)
{
    unsigned long long service = atomic_load_explicit(&job->service, memory_order_relaxed);
    switch (job->copy.priority) {
    case COPYENGINE_INTERACTIVE:
        return service / PRIORITY_WEIGHT;
    case COPYENGINE_BULK:
        return service * PRIORITY_WEIGHT;
    default:
        return service;
    }
}

/*
 * Whether enough waits for nobody to read on. Once that is so, it stays so until half is copied:
 * else a reader would be woken for every directory.
 */
static bool has_plenty(const struct copyengine *engine, struct copyengine_job *job)
{
    unsigned share = MAX(engine->job_count, 1U) * (job->has_plenty ? 2 : 1);
    job->has_plenty = job->waiting_files > FILES_MAX / share ||
                      job->waiting_batches > engine->batches_max / share;
    return job->has_plenty;
}

static unsigned readers_wanted(const struct copyengine *engine, struct copyengine_job *job)
{
    if (job_is_stopped(job) || job->kind == JOB_REMOVAL)
        return engine->processors;
    if (has_plenty(engine, job))
        return 0;
    bool remote = job->source_latency == IO_REMOTE;
    if (job->waiting_files >= (remote ? REMOTE_FILES_ENOUGH : FILES_ENOUGH))
        return 1;
    return remote ? READERS_MAX : READERS_MAX_OF_CACHED;
}

static struct copyengine_job *job_to_read(struct copyengine *engine)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (job->waiting_directories && job->readers_active < readers_wanted(engine, job) &&
            (!best || schedule_service(job) < schedule_service(best)))
            best = job;
    return best;
}

/* Wakes a reader if there is work for one; starts another one if all are busy. */
static void wake_reader(struct copyengine *engine)
{
    if (!job_to_read(engine))
        return;
    if (engine->readers_idle > 0)
        pthread_cond_signal(&engine->reader_wake);
    else if (!engine->stopping)
        engine_start_threads(engine, 0, engine->reader_count + 1); /* if not, it takes longer */
}

struct directory *schedule_take_directory(struct copyengine *engine)
{
    struct directory *directory = NULL;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        struct copyengine_job *job = job_to_read(engine);
        if (job) {
            directory = job->waiting_directories;
            job->waiting_directories = directory->next;
            job->readers_active++;
            wake_reader(engine); /* perhaps there is work for another one */
            break;
        }
        engine->readers_idle++;
        pthread_cond_wait(&engine->reader_wake, &engine->lock);
        engine->readers_idle--;
    }
    pthread_mutex_unlock(&engine->lock);
    return directory;
}

void schedule_add_root(struct copyengine *engine, struct copyengine_job *job,
                       struct directory *root)
{
    pthread_mutex_lock(&engine->lock);
    root->next = job->waiting_directories;
    job->waiting_directories = root;
    wake_reader(engine);
    pthread_mutex_unlock(&engine->lock);
}

/* Whether each operation needs a thread: it waits for a server, or a disk without a ring. */
static bool needs_threads(const struct copyengine *engine, const struct copyengine_job *job)
{
    if (job->destination_latency == IO_REMOTE || job_source_latency(job) == IO_REMOTE)
        return true;
    return device_pair_is_cold(job->pair) && !engine->backend->queues;
}

/* The workers that copy files of a job: [first, end), whether they are started or not. */
struct crew {
    unsigned first;
    unsigned end;
    unsigned busy; /* those that must not be counted on */
};

static struct crew crew_of(struct copyengine *engine, const struct copyengine_job *job)
{
    unsigned waiting = tuner_value(&engine->waiting);
    if (needs_threads(engine, job)) {
        unsigned others = engine->waiting_workers - job->pair->workers;
        return (struct crew){engine->processors,
                             engine->processors + waiting + MIN(others, waiting / 4),
                             engine->waiting_workers};
    }
    if (device_pair_is_cold(job->pair))
        return (struct crew){.end = engine->processors};
    return (struct crew){.end = MIN(tuner_value(&engine->running), job->workers_max)};
}

static bool may_copy(struct copyengine *engine, const struct worker *worker,
                     const struct copyengine_job *job)
{
    struct crew crew = crew_of(engine, job);
    unsigned number = worker_number(worker);
    if (worker_waits(worker) && job->pair->workers >= tuner_value(&engine->waiting))
        return false; /* the rest is for other sources */
    if (engine->worker_count <= crew.first)
        return true; /* no thread is to be had */
    return number >= crew.first && number < crew.end;
}

static void wake_workers(struct copyengine *engine, const struct copyengine_job *job,
                         unsigned items)
{
    struct crew crew = crew_of(engine, job);
    unsigned end = MIN(crew.end, crew.first + crew.busy + items);
    if (engine->worker_count < end)
        engine_start_threads(engine, end, 0); /* if not, it takes longer */
    if (engine->worker_count <= crew.first)
        crew = (struct crew){.end = engine->processors};
    for (unsigned i = crew.first; i < MIN(crew.end, engine->worker_count) && items > 0; i++)
        items -= worker_wake_if_idle(engine->workers[i]);
}

/* With the engine's lock held. */
static void append_batches(struct copyengine *engine, struct copyengine_job *job,
                           struct batch *batches)
{
    if (!batches)
        return;
    while (batches) {
        struct batch *batch = batches;
        batches = batch->next;
        batch->next = NULL;
        if (job->last_batch)
            job->last_batch->next = batch;
        else
            job->first_batch = batch;
        job->last_batch = batch;
        job->waiting_batches++;
        job->waiting_files += batch->count;
    }
    wake_workers(engine, job, MIN(job->waiting_files, (unsigned)WOKEN_AT_ONCE));
}

void schedule_add(struct copyengine *engine, struct copyengine_job *job, struct directory *again,
                  struct directory *directories, struct batch *batches)
{
    pthread_mutex_lock(&engine->lock);
    if (again) {
        again->next = job->waiting_directories;
        job->waiting_directories = again;
    }
    while (directories) {
        struct directory *directory = directories;
        directories = directory->next;
        directory->next = job->waiting_directories;
        job->waiting_directories = directory;
    }
    append_batches(engine, job, batches);
    wake_reader(engine); /* one more than the caller, who comes back for the next directory */
    job->readers_active--;
    pthread_mutex_unlock(&engine->lock);
}

void schedule_add_batches(struct copyengine *engine, struct copyengine_job *job,
                          struct batch *batches)
{
    pthread_mutex_lock(&engine->lock);
    append_batches(engine, job, batches);
    pthread_mutex_unlock(&engine->lock);
}

void schedule_add_file(struct copyengine *engine, struct copyengine_job *job, struct file *file)
{
    uint64_t ranges = file->size / transfer_range_bytes(job) + 1;
    pthread_mutex_lock(&engine->lock);
    file->next = job->files;
    job->files = file;
    wake_workers(engine, job, (unsigned)MIN(ranges, (uint64_t)WORKERS_MAX));
    pthread_mutex_unlock(&engine->lock);
}

static struct copyengine_job *job_to_copy(struct copyengine *engine, const struct worker *worker,
                                          unsigned long long service_below)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if ((job->first_batch || job->files) && may_copy(engine, worker, job) &&
            !worker_delays(worker, job) && schedule_service(job) < service_below) {
            best = job;
            service_below = schedule_service(job);
        }
    return best;
}

/* Takes the next range of a shared file; all of them when the job has stopped. */
static struct slice take_range(struct copyengine_job *job)
{
    struct file *file = job->files;
    struct slice slice = {.file = file, .offset = file->untaken};
    uint64_t left = file->size - file->untaken;
    slice.range_end =
        file->untaken + (job_is_stopped(job) ? left : MIN(left, transfer_range_bytes(job)));
    file->untaken = slice.range_end;
    if (file->untaken < file->size)
        atomic_fetch_add(&file->references, 1);
    else
        job->files = file->next; /* and its reference goes with the slice */
    return slice;
}

static struct slice take_files(const struct copyengine *engine, struct copyengine_job *job)
{
    struct batch *batch = job->first_batch;
    unsigned share = job->waiting_files / engine->worker_count;
    unsigned count = MIN(MIN(MAX(share, 1U), (unsigned)SLICE_MAX), batch->count - batch->taken);
    struct slice slice = {.batch = batch, .next = batch->taken, .end = batch->taken + count};
    batch->taken += count;
    job->waiting_files -= count;
    if (batch->taken == batch->count) {
        job->first_batch = batch->next;
        if (!job->first_batch)
            job->last_batch = NULL;
        job->waiting_batches--;
    }
    return slice;
}

bool schedule_take_files(struct copyengine *engine, struct worker *worker,
                         unsigned long long service_below, struct slice *ret)
{
    pthread_mutex_lock(&engine->lock);
    worker_set_work(worker, NULL); /* what it had is done */
    struct copyengine_job *job = job_to_copy(engine, worker, service_below);
    if (job) {
        worker_set_work(worker, job);
        *ret = job->files ? take_range(job) : take_files(engine, job);
        if (job->first_batch || job->files) /* more may be wanted than when it was added */
            wake_workers(engine, job, 1);
        wake_reader(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    return job;
}
