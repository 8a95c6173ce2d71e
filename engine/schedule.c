/*
 * Who does what next.
 *
 * Each job has a stack of directories to read and a queue of batches of files to copy. Readers take
 * from the stack, so a tree is walked depth first, and what waits is bounded by its depth, not by
 * its size: a directory of a million entries is read a piece at a time and goes back on the stack
 * in between. Readers stop while enough files wait, and more of them are woken, or started, while
 * few do: on a server a millisecond away many are. A tree that is in memory is read by those who
 * copy it, a directory at a time, when no files wait: a reader beside them would be one thread more
 * than there are processors, and whoever waits for one while it holds a lock of the file system has
 * the others wait, too.
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
 * too; but each source may have a part of them, however many hang for others, and what is local
 * has the first workers to itself. So it is with readers: each server may have a part of them,
 * and some are kept for what is local, and for removing what was cancelled.
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
    READERS_OF_PROCESSOR = 8,   /* from a server: more take longer to start than they save */
    READERS_OF_REMOTE = 16,     /* or so many, */
    READERS_MAX_OF_REMOTE = 64, /* and no more than this */
    READERS_KEPT = 16,          /* for what does not wait for a server */
    PRIORITY_WEIGHT = 16,
    PARTS_MAX = 4, /* each source may have one of so many parts of those who wait */
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

static bool has_work_for_workers(const struct copyengine_job *job)
{
    return job->first_batch || job->files || (job->waiting_directories && job->read_by_workers);
}

static unsigned readers_of_remote(const struct copyengine *engine)
{
    return MIN(MAX(READERS_OF_PROCESSOR * engine->processors, (unsigned)READERS_OF_REMOTE),
               (unsigned)READERS_MAX_OF_REMOTE);
}

static unsigned readers_wanted(const struct copyengine *engine, struct copyengine_job *job)
{
    if (job_is_stopped(job) || job->kind == JOB_REMOVAL)
        return engine->processors;
    if (job->read_by_workers || has_plenty(engine, job))
        return 0;
    bool remote = job->source_latency == IO_REMOTE;
    if (job->waiting_files >= (remote ? REMOTE_FILES_ENOUGH : FILES_ENOUGH))
        return 1;
    return remote ? readers_of_remote(engine) : READERS_MAX_OF_CACHED;
}

/*
 * How many of those who wait, `all`, may wait for one source that `own` wait for. Those of others,
 * which may hang, are many or few: a part is always left.
 */
static unsigned share_of_source(const struct copyengine *engine, unsigned all, unsigned waiting,
                                unsigned own)
{
    unsigned others = MIN(waiting - own, all);
    unsigned part = all / MIN(MAX(engine->job_count, 1U), (unsigned)PARTS_MAX);
    return MAX(all - others, MAX(part, 1U));
}

static enum reading how_to_read(const struct copyengine_job *job)
{
    if (job->kind == JOB_REMOVAL || job_is_stopped(job)) /* then it is only let go of */
        return READING_AT_ONCE;
    if (!job->pair)
        return READING_ROOT;
    return job->source_latency == IO_REMOTE || job->destination_latency == IO_REMOTE
               ? READING_REMOTE
               : READING_AT_ONCE;
}

/* Whether one more may read the next directory of a job. */
static bool may_read(const struct copyengine *engine, struct copyengine_job *job)
{
    if (!job->waiting_directories || job->readers_active >= readers_wanted(engine, job))
        return false;
    switch (how_to_read(job)) {
    case READING_ROOT:
        return engine->readers_waiting < READERS_MAX - READERS_KEPT;
    case READING_REMOTE:
        return engine->readers_waiting < READERS_MAX - READERS_KEPT &&
               job->pair->readers < share_of_source(engine, readers_of_remote(engine),
                                                    engine->readers_waiting, job->pair->readers);
    default:
        return true;
    }
}

static struct copyengine_job *job_to_read(struct copyengine *engine)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (may_read(engine, job) && (!best || schedule_service(job) < schedule_service(best)))
            best = job;
    return best;
}

/* Wakes a reader if there is work for one; starts another one if all are busy, unless one has just
 * been started: that starts the next when it finds more to do. */
static void wake_reader(struct copyengine *engine)
{
    if (!job_to_read(engine))
        return;
    if (engine->readers_idle > 0)
        pthread_cond_signal(&engine->reader_wake);
    else if (!engine->stopping && engine->readers_starting == 0)
        engine_start_threads(engine, 0, engine->reader_count + 1); /* if not, it takes longer */
}

/*
 * Looks whether each operation of a job needs a thread: it waits for a server, or a disk without a
 * ring; and whether workers read its directories: they are in memory. That is learned while files
 * are copied, at any moment; what the job says of it changes here only, so that it is never missed.
 * Nothing is known before its root is open. Returns whether it did change.
 */
static bool look_who_copies(const struct copyengine *engine, struct copyengine_job *job)
{
    bool waited = job->waits;
    bool was_read = job->read_by_workers;
    if (!job->pair)
        return false;
    bool remote = job->destination_latency == IO_REMOTE || job_source_latency(job) == IO_REMOTE;
    job->waits = remote || (device_pair_is_cold(job->pair) && !engine->backend->queues);
    job->read_by_workers = job->kind == JOB_COPY && !remote && device_pair_is_hot(job->pair);
    return job->waits != waited || job->read_by_workers != was_read;
}

/* How many workers may wait for the source of a job. */
static unsigned waiting_share(struct copyengine *engine, const struct copyengine_job *job)
{
    return share_of_source(engine, tuner_value(&engine->waiting), engine->waiting_workers,
                           job->pair->workers);
}

/* How many of the first workers, which do not wait, may copy files of a job. */
static unsigned running_share(struct copyengine *engine, const struct copyengine_job *job)
{
    if (job->waits || device_pair_is_cold(job->pair))
        return engine->processors;
    return MIN(tuner_value(&engine->running), job->workers_max);
}

static bool may_copy(struct copyengine *engine, const struct worker *worker,
                     const struct copyengine_job *job)
{
    if (!worker_waits(worker))
        return worker_number(worker) < running_share(engine, job) &&
               (!job->waits || engine->worker_count <= engine->processors);
    return job->waits && job->pair->workers < waiting_share(engine, job);
}

/* Wakes up to so many of the workers [first, end) that are idle. */
static void wake(struct copyengine *engine, unsigned first, unsigned end, unsigned count)
{
    const unsigned *idle = &engine->idle_workers[first > 0];
    for (unsigned i = first; i < MIN(end, engine->worker_count) && count > 0 && *idle > 0; i++)
        count -= worker_wake_if_idle(engine->workers[i]);
}

static void wake_workers(struct copyengine *engine, const struct copyengine_job *job,
                         unsigned items)
{
    if (!job->waits) {
        wake(engine, 0, running_share(engine, job), items);
        return;
    }
    unsigned share = waiting_share(engine, job);
    unsigned count = MIN(items, share - MIN(job->pair->workers, share));
    unsigned wanted = engine->processors + engine->waiting_workers + count;
    if (engine->worker_count < wanted)
        engine_start_threads(engine, wanted, 0); /* if not, it takes longer */
    if (engine->worker_count > engine->processors)
        wake(engine, engine->processors, WORKERS_MAX, count);
    else
        wake(engine, 0, engine->processors, items); /* there are no others to be had */
}

/* More workers may be wanted than when files were added; and where one left a job for another,
 * whose server hangs, somebody has to take its place. */
static void wake_others(struct copyengine *engine)
{
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (has_work_for_workers(job))
            wake_workers(engine, job, 1);
}

/* Where it changed who copies, or reads, a job, those have to go on who slept while it was not
 * their turn. (Readers are woken by all who come here, before they sleep.) */
static void wake_whose_turn_it_is(struct copyengine *engine)
{
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if ((job->waiting_directories || job->first_batch || job->files) &&
            look_who_copies(engine, job) && has_work_for_workers(job))
            wake_workers(engine, job, WOKEN_AT_ONCE);
}

/* Counts who begins to read a directory, or ends. */
static void count_reader(struct copyengine *engine, const struct directory *directory, int change)
{
    struct copyengine_job *job = directory->job;
    job->readers_active += (unsigned)change;
    if (directory->reading != READING_AT_ONCE)
        engine->readers_waiting += (unsigned)change;
    if (directory->reading == READING_REMOTE)
        job->pair->readers += (unsigned)change;
}

static struct directory *take_directory(struct copyengine *engine, struct copyengine_job *job)
{
    struct directory *directory = job->waiting_directories;
    job->waiting_directories = directory->next;
    directory->reading = how_to_read(job);
    count_reader(engine, directory, 1);
    return directory;
}

struct directory *schedule_take_directory(struct copyengine *engine)
{
    struct directory *directory = NULL;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        struct copyengine_job *job = job_to_read(engine);
        if (job) {
            directory = take_directory(engine, job);
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

/* With the engine's lock held. */
static void append_batches(struct copyengine *engine, struct copyengine_job *job,
                           struct batch *batches)
{
    bool any = batches;
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
    wake_whose_turn_it_is(engine);
    if (any)
        wake_workers(engine, job, MIN(job->waiting_files, (unsigned)WOKEN_AT_ONCE));
}

void schedule_add(struct copyengine *engine, struct directory *directory, bool more,
                  struct directory *directories, struct batch *batches)
{
    struct copyengine_job *job = directory->job;
    pthread_mutex_lock(&engine->lock);
    if (more) {
        directory->next = job->waiting_directories;
        job->waiting_directories = directory;
    }
    while (directories) {
        struct directory *found = directories;
        directories = found->next;
        found->next = job->waiting_directories;
        job->waiting_directories = found;
    }
    append_batches(engine, job, batches);
    if (job->waiting_directories && job->read_by_workers)
        wake_workers(engine, job, WOKEN_AT_ONCE);
    wake_reader(engine); /* one more than the caller, who comes back for the next directory */
    count_reader(engine, directory, -1);
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
    uint64_t ranges = file->size / file->range_bytes + 1;
    pthread_mutex_lock(&engine->lock);
    file->next = job->files;
    job->files = file;
    wake_workers(engine, job, (unsigned)MIN(ranges, (uint64_t)WORKERS_MAX));
    pthread_mutex_unlock(&engine->lock);
}

static struct copyengine_job *job_to_copy(struct copyengine *engine, const struct worker *worker)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = engine->jobs; job; job = job->next)
        if (has_work_for_workers(job) && may_copy(engine, worker, job) &&
            !worker_delays(worker, job) &&
            (!best || schedule_service(job) < schedule_service(best)))
            best = job;
    return best;
}

/* Takes the next range of a shared file; all of them when the job has stopped. */
static struct slice take_range(struct copyengine_job *job)
{
    struct file *file = job->files;
    struct slice slice = {.file = file, .offset = file->untaken};
    uint64_t left = file->size - file->untaken;
    slice.range_end = file->untaken + (job_is_stopped(job) ? left : MIN(left, file->range_bytes));
    file->untaken = slice.range_end;
    if (file->untaken < file->size)
        atomic_fetch_add(&file->references, 1);
    else
        job->files = file->next; /* and its reference goes with the slice */
    return slice;
}

/* Puts the first batch last. */
static void rotate_batches(struct copyengine_job *job)
{
    struct batch *batch = job->first_batch;
    if (batch == job->last_batch)
        return;
    job->first_batch = batch->next;
    batch->next = NULL;
    job->last_batch->next = batch;
    job->last_batch = batch;
}

/*
 * Takes files of one directory. What is left of it has its turn after the others where files wait
 * for a server, so that many directories are in use at once: FUSE may look up one name of each at a
 * time only (fuse_lock_inode in fs/fuse/inode.c).
 */
static struct slice take_files(struct copyengine *engine, struct copyengine_job *job)
{
    struct batch *batch = job->first_batch;
    unsigned left = batch->count - batch->taken;
    unsigned takers = job->waits ? waiting_share(engine, job) : running_share(engine, job);
    unsigned share = MIN(MAX(job->waiting_files / takers, 1U), (unsigned)SLICE_MAX);
    if (job->waiting_directories && job->read_by_workers)
        share = left; /* others read a directory, and do not contend for this one */
    unsigned count = MIN(share, left);
    struct slice slice = {.batch = batch, .next = batch->taken, .end = batch->taken + count};
    batch->taken += count;
    job->waiting_files -= count;
    if (batch->taken == batch->count) {
        job->first_batch = batch->next;
        if (!job->first_batch)
            job->last_batch = NULL;
        job->waiting_batches--;
    } else if (job->waits) {
        rotate_batches(job);
    }
    return slice;
}

bool schedule_take_slice(struct copyengine *engine, struct worker *worker, struct slice *ret)
{
    pthread_mutex_lock(&engine->lock);
    worker_set_work(worker, NULL); /* what it had is done */
    wake_whose_turn_it_is(engine);
    struct copyengine_job *job = job_to_copy(engine, worker);
    if (job) {
        worker_set_work(worker, job);
        if (job->files)
            *ret = take_range(job);
        else if (job->first_batch)
            *ret = take_files(engine, job);
        else
            *ret = (struct slice){.directory = take_directory(engine, job)};
        wake_others(engine);
    }
    wake_reader(engine);
    pthread_mutex_unlock(&engine->lock);
    return job;
}
