/*
 * Who does what next.
 *
 * Each job has a stack of directories to read and a queue of batches of files to copy. Readers take
 * from the stack, so a tree is walked depth first, and what waits is bounded by its depth, not by
 * its size: a directory of a million entries is read a piece at a time and goes back on the stack
 * in between. Readers stop while enough files wait, and more of them are woken while few do: on a
 * cached tree one is enough, on a server a millisecond away many are.
 *
 * Among jobs, the one that has had least service goes first ("least attained service"): small jobs
 * overtake large ones though nobody knows in advance which are small.
 *
 * A worker takes more files at once the more are waiting (guided self-scheduling, Polychronopoulos
 * and Kuck 1987), so the lock is taken rarely and the end of a tree is shared out evenly.
 */
#include "engine/compiler.h"
#include "engine/engine.h"
#include "engine/worker.h"

#include <assert.h>

enum {
    FILES_ENOUGH = 256,        /* waiting: one reader will do */
    FILES_MAX = 4096,          /* waiting: nobody reads on */
    SLICE_MAX = 32,            /* files that a worker takes at once */
    READERS_MAX_OF_CACHED = 2, /* more only contend (measured) */
};

static unsigned long long service_of(struct copyengine_job *job)
{
    return atomic_load_explicit(&job->service, memory_order_relaxed);
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
    if (job_is_stopped(job))
        return READERS_MAX;
    if (has_plenty(engine, job))
        return 0;
    if (job->waiting_files >= FILES_ENOUGH)
        return 1;
    return job->source_latency == IO_REMOTE ? READERS_MAX : READERS_MAX_OF_CACHED;
}

static struct copyengine_job *job_to_read(struct copyengine *engine)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (job->waiting_directories && job->readers_active < readers_wanted(engine, job) &&
            (!best || service_of(job) < service_of(best)))
            best = job;
    return best;
}

static void wake_reader(struct copyengine *engine)
{
    if (engine->readers_idle > 0 && job_to_read(engine))
        pthread_cond_signal(&engine->reader_wake);
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

static void append_batches(struct copyengine_job *job, struct batch *batches)
{
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
    append_batches(job, batches);
    unsigned wake = MIN(job->waiting_files, engine->worker_count);
    for (unsigned i = 0; i < engine->worker_count && wake > 0; i++)
        wake -= worker_wake_if_idle(engine->workers[i]);
    wake_reader(engine); /* one more than the caller, who comes back for the next directory */
    job->readers_active--;
    pthread_mutex_unlock(&engine->lock);
}

static unsigned workers_wanted(const struct copyengine *engine, const struct copyengine_job *job)
{
    bool remote = job->source_latency == IO_REMOTE || job->destination_latency == IO_REMOTE;
    return remote ? WORKERS_MAX : engine->processors;
}

static struct copyengine_job *job_to_copy(struct copyengine *engine, const struct worker *worker,
                                          unsigned long long service_below)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (job->first_batch && worker_number(worker) < workers_wanted(engine, job) &&
            service_of(job) < service_below) {
            best = job;
            service_below = service_of(job);
        }
    return best;
}

bool schedule_take_files(struct copyengine *engine, struct worker *worker,
                         unsigned long long service_below, struct slice *ret)
{
    pthread_mutex_lock(&engine->lock);
    struct copyengine_job *job = job_to_copy(engine, worker, service_below);
    worker_set_idle(worker, !job);
    if (job) {
        struct batch *batch = job->first_batch;
        unsigned share = job->waiting_files / (2 * engine->worker_count);
        unsigned count = MIN(MIN(MAX(share, 1U), (unsigned)SLICE_MAX), batch->count - batch->taken);
        *ret = (struct slice){batch, batch->taken, batch->taken + count};
        batch->taken += count;
        job->waiting_files -= count;
        if (batch->taken == batch->count) {
            job->first_batch = batch->next;
            if (!job->first_batch)
                job->last_batch = NULL;
            job->waiting_batches--;
        }
        wake_reader(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    return job;
}

bool schedule_has_lesser(struct copyengine *engine, unsigned long long service)
{
    bool lesser = false;
    pthread_mutex_lock(&engine->lock);
    for (struct copyengine_job *job = engine->jobs; job && !lesser; job = job->next)
        lesser = job->first_batch && service_of(job) < service;
    pthread_mutex_unlock(&engine->lock);
    return lesser;
}
