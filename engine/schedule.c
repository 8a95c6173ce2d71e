/*
 * Who does what next.
 *
 * Each job has a stack of directories to read and a queue of batches of files to copy. Readers take
 * from the stack, so a tree is walked depth first, and the stack is bounded by the tree's depth,
 * not by its size: a directory of a million entries is read a piece at a time and goes back on the
 * stack in between. There is back-pressure: readers stop while enough files are queued. While few
 * are, more readers are woken, or started; many are wanted on a server a millisecond away.
 *
 * A tree that is in memory is read by the workers that copy it, a directory at a time, when no
 * files are queued. A reader beside them would be one thread more than there are processors, and
 * make lock convoys: when a thread that holds a lock of the file system has to wait for a
 * processor, all others queue up for the lock.
 *
 * Among jobs, the one that has had least service goes first ("least attained service"): small jobs
 * overtake large ones though nobody knows in advance which are small. A priority makes service
 * count for more or less, so no job starves.
 *
 * A worker takes more files at once the more are queued (guided self-scheduling, Polychronopoulos
 * and Kuck 1987; slices.c), so the lock is taken rarely and the end of a tree is shared out evenly.
 * Large files are shared out in ranges, which are taken before new files, so few of them are open.
 *
 * The units of a supply are its parts, whose bytes its caller fills in, and what has no bytes.
 * Parts are taken in their order, one at a time by each worker, and only as many as their memory
 * allows. Files of a supply that have donors on this machine are copied by workers that do not
 * block, while others fetch what has to be fetched.
 *
 * Files of a server are copied by blocking workers, one operation each, which are started beyond
 * the one worker per processor: calls that block cost less there than a ring, which would hand each
 * to a kernel thread. When a server hangs, the workers that copy from it hang, too. So each source
 * is given a share of the blocking workers, however many hang for others, and what is local has the
 * first workers to itself. Readers are shared out in the same way: each server has a share, and
 * some are kept for what is local and for removing what was cancelled.
 */
#include "engine/schedule.h"

#include "engine/assertion.h"
#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/file.h"
#include "engine/job.h"
#include "engine/ranges.h"
#include "engine/shares.h"
#include "engine/slices.h"
#include "engine/units.h"

enum {
    FILES_ENOUGH = 256,         /* queued: one reader will do */
    REMOTE_FILES_ENOUGH = 1024, /* the same where hundreds are copied at once */
    FILES_MAX = 4096,           /* queued: back-pressure, nobody reads on */
    WOKEN_AT_ONCE = 4,          /* workers; each wakes another one if there is more to do */
    READERS_MAX_OF_CACHED = 2,  /* more only contend (measured) */
    READERS_KEPT = 16,          /* never given to what may hang */
    COUNTS_PER_SAMPLE = 16,     /* completions between two readings of the clock */
};

void schedule_init(struct schedule *schedule, const struct schedule_threads *threads,
                   void *threads_context)
{
    schedule->threads = threads;
    schedule->threads_context = threads_context;
    pthread_mutex_init(&schedule->lock, NULL);
    pthread_cond_init(&schedule->reader_wake, NULL);
}

void schedule_destroy(struct schedule *schedule)
{
    assert(!schedule->jobs && schedule->job_count == 0);
    assert(schedule->blocked_readers == 0); /* workers may have left without asking for more */
    tuner_destroy(&schedule->in_flight_tuner);
    tuner_destroy(&schedule->workers_tuner);
    pthread_mutex_destroy(&schedule->lock);
    pthread_cond_destroy(&schedule->reader_wake);
}

void schedule_count_completed(struct schedule *schedule)
{
    unsigned long long completed =
        atomic_fetch_add_explicit(&schedule->completed, 1, memory_order_relaxed) + 1;
    if (completed % COUNTS_PER_SAMPLE != 0)
        return;
    uint64_t now_ns = clock_monotonic_ns();
    tuner_sample(&schedule->in_flight_tuner, now_ns, completed);
    tuner_sample(&schedule->workers_tuner, now_ns, completed);
}

/* For assertions: somebody holds the lock, which should be the caller. */
ASSERTION_ONLY static bool is_locked(struct schedule *schedule)
{
    return pthread_mutex_trylock(&schedule->lock) == EBUSY;
}

/*
 * Whether a job is under back-pressure: enough is queued for nobody to read on. Once that is so, it
 * stays so until half is copied; else a reader would be woken for every directory.
 */
static bool has_back_pressure(const struct schedule *schedule, struct copyengine_job *job)
{
    unsigned divisor = MAX(schedule->job_count, 1U) * (job->back_pressure ? 2 : 1);
    job->back_pressure = job->queued_files > FILES_MAX / divisor ||
                         job->queued_batches > schedule->batches_max / divisor;
    return job->back_pressure;
}

static bool has_work(const struct copyengine_job *job)
{
    return job->batches.first || job->local_batches.first || job->untaken_files ||
           job->unread_directories || job->untaken_unit < job->unit_count;
}

/* Beside local batches. */
static bool has_work_for_workers(const struct schedule *schedule, const struct copyengine_job *job)
{
    return job->batches.first || job->untaken_files ||
           (job->unread_directories && job->read_by_workers) ||
           units_has_next(job, schedule->parts_bytes);
}

static unsigned count_readers_wanted(const struct schedule *schedule, struct copyengine_job *job)
{
    if (job_is_stopped(job) || job->kind->removes)
        return schedule->processors;
    if (job->read_by_workers || has_back_pressure(schedule, job))
        return 0;
    bool remote = job->source_latency == IO_REMOTE;
    if (job->queued_files >= (remote ? REMOTE_FILES_ENOUGH : FILES_ENOUGH))
        return 1;
    return remote ? share_readers_of_server(schedule->processors) : READERS_MAX_OF_CACHED;
}

static enum reading classify_reading(const struct copyengine_job *job)
{
    if (job->kind->removes || job_is_stopped(job)) /* then it is only let go of */
        return READING_AT_ONCE;
    if (!job->pair)
        return READING_ROOT;
    return job->source_latency == IO_REMOTE || job->destination_latency == IO_REMOTE
               ? READING_REMOTE
               : READING_AT_ONCE;
}

/* Whether one more may read the next directory of a job. */
static bool may_read(const struct schedule *schedule, struct copyengine_job *job)
{
    if (!job->unread_directories || job->active_readers >= count_readers_wanted(schedule, job))
        return false;
    switch (classify_reading(job)) {
    case READING_ROOT:
        return schedule->blocked_readers < READERS_MAX - READERS_KEPT;
    case READING_REMOTE:
        return schedule->blocked_readers < READERS_MAX - READERS_KEPT &&
               job->pair->readers < share_of_source(schedule->job_count,
                                                    share_readers_of_server(schedule->processors),
                                                    schedule->blocked_readers, job->pair->readers);
    default:
        return true;
    }
}

static struct copyengine_job *choose_job_to_read(struct schedule *schedule)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = schedule->jobs; job; job = job->next)
        if (may_read(schedule, job) && (!best || job_weigh_service(job) < job_weigh_service(best)))
            best = job;
    return best;
}

int schedule_start_threads(struct schedule *schedule, unsigned workers, unsigned readers)
{
    const struct schedule_threads *threads = schedule->threads;
    assert(is_locked(schedule));
    void *context = schedule->threads_context;
    int result = threads ? 0 : -EAGAIN;
    workers = MIN(workers, (unsigned)WORKERS_MAX);
    readers = MIN(readers, (unsigned)READERS_MAX);
    while (result == 0 && schedule->seat_count < workers) {
        unsigned number = schedule->seat_count;
        result = threads->start_worker(context, number, &schedule->seats[number]);
        assert(result < 0 || schedule->seats[number]->number == number);
        schedule->seat_count += result == 0;
    }
    while (result == 0 && schedule->reader_count < readers) {
        result = threads->start_reader(context, schedule->reader_count);
        schedule->reader_count += result == 0;
        schedule->starting_readers += result == 0;
    }
    return result;
}

void schedule_enter_reader(struct schedule *schedule)
{
    pthread_mutex_lock(&schedule->lock);
    assert(schedule->starting_readers > 0);
    schedule->starting_readers--;
    pthread_mutex_unlock(&schedule->lock);
}

/* Wakes a reader if there is work for one; starts another one if all are busy, unless one has just
 * been started: that starts the next when it finds more to do. */
static void wake_reader(struct schedule *schedule)
{
    if (!choose_job_to_read(schedule))
        return;
    if (schedule->idle_readers > 0)
        pthread_cond_signal(&schedule->reader_wake);
    else if (!schedule->stopping && schedule->starting_readers == 0)
        schedule_start_threads(schedule, 0, schedule->reader_count + 1); /* if not, it is slower */
}

/*
 * Decides anew for a job: whether each of its operations needs a thread, because it waits for a
 * server, or for a disk without a ring; and whether workers read its directories, because they are
 * in memory. What this depends on is learned while files are copied, at any moment; the decision
 * changes here only, so that whoever has to be woken for it is. Nothing is known before the root is
 * open. Returns whether it did change.
 */
static bool decide_who_copies(const struct schedule *schedule, struct copyengine_job *job)
{
    bool was_blocking = job->blocking;
    bool was_read_by_workers = job->read_by_workers;
    if (!job->pair)
        return false;
    bool remote = job->destination_latency == IO_REMOTE || job_source_latency(job) == IO_REMOTE;
    job->blocking = remote || (device_pair_is_cold(job->pair) && !schedule->queues);
    job->read_by_workers =
        job->kind->read_by_workers_when_hot && !remote && device_pair_is_hot(job->pair);
    return job->blocking != was_blocking || job->read_by_workers != was_read_by_workers;
}

static bool may_take_local(struct schedule *schedule, const struct seat *seat,
                           const struct copyengine_job *job)
{
    return job->local_batches.first && !seat->blocking &&
           seat->number < slice_share_of_local(schedule, job);
}

static bool may_copy(struct schedule *schedule, const struct seat *seat,
                     const struct copyengine_job *job)
{
    if (!seat->blocking)
        return seat->number < slice_share_of_first(schedule, job) &&
               (!job->blocking || schedule->seat_count <= schedule->processors);
    return job->blocking && job->pair->workers < slice_share_of_blocking(schedule, job);
}

static void set_seat_idle(struct schedule *schedule, struct seat *seat, bool idle)
{
    unsigned *count = &schedule->idle_seats[seat->blocking];
    assert(!seat->idle || *count > 0);
    *count = *count + idle - seat->idle;
    seat->idle = idle;
}

/* Notes of which job the worker's next files are; NULL: it has nothing to do. */
static void set_seat_job(struct schedule *schedule, struct seat *seat,
                         const struct copyengine_job *job)
{
    assert(is_locked(schedule));
    set_seat_idle(schedule, seat, !job);
    if (!seat->blocking)
        return;
    if (seat->pair) {
        assert(seat->pair->workers > 0 && schedule->blocked_workers >= seat->pair->workers);
        seat->pair->workers--;
        schedule->blocked_workers--;
    }
    seat->pair = job ? job->pair : NULL;
    if (seat->pair) {
        seat->pair->workers++;
        schedule->blocked_workers++;
    }
}

/* Wakes up to so many of the workers [first, end) that are idle. */
static void wake_seats(struct schedule *schedule, unsigned first, unsigned end, unsigned count)
{
    const unsigned *idle = &schedule->idle_seats[first > 0];
    for (unsigned i = first; i < MIN(end, schedule->seat_count) && count > 0 && *idle > 0; i++) {
        struct seat *seat = schedule->seats[i];
        if (!seat->idle)
            continue;
        set_seat_idle(schedule, seat, false);
        seat->port->backend->wake(seat->port->io);
        count--;
    }
}

static void wake_workers(struct schedule *schedule, const struct copyengine_job *job,
                         unsigned items)
{
    if (!job->blocking) {
        wake_seats(schedule, 0, slice_share_of_first(schedule, job), items);
        return;
    }
    unsigned share = slice_share_of_blocking(schedule, job);
    unsigned count = MIN(items, share - MIN(job->pair->workers, share));
    unsigned wanted = schedule->processors + schedule->blocked_workers + count;
    if (schedule->seat_count < wanted)
        schedule_start_threads(schedule, wanted, 0); /* if not, it takes longer */
    if (schedule->seat_count > schedule->processors)
        wake_seats(schedule, schedule->processors, WORKERS_MAX, count);
    else
        wake_seats(schedule, 0, schedule->processors, items); /* there are no others to be had */
}

/* More workers may be wanted than when files were added; and where one left a job for another,
 * whose server hangs, somebody has to take its place. */
static void wake_for_other_jobs(struct schedule *schedule)
{
    for (struct copyengine_job *job = schedule->jobs; job; job = job->next) {
        if (has_work_for_workers(schedule, job))
            wake_workers(schedule, job, 1);
        if (job->local_batches.first)
            wake_seats(schedule, 0, slice_share_of_local(schedule, job), 1);
    }
}

/* Where it changed who copies, or reads, a job, those have to go on who slept while it was not
 * their turn. (Readers are woken by all who come here, before they sleep.) */
static void wake_for_changed_jobs(struct schedule *schedule)
{
    for (struct copyengine_job *job = schedule->jobs; job; job = job->next)
        if (has_work(job) && decide_who_copies(schedule, job) &&
            has_work_for_workers(schedule, job))
            wake_workers(schedule, job, WOKEN_AT_ONCE);
}

/* Counts who begins to read a directory (1), or ends (-1). */
static void count_reader(struct schedule *schedule, const struct directory *directory, int change)
{
    struct copyengine_job *job = directory->job;
    assert(change > 0 || job->active_readers > 0);
    assert(is_locked(schedule));
    job->active_readers += (unsigned)change;
    if (directory->reading != READING_AT_ONCE) {
        assert(change > 0 || schedule->blocked_readers > 0);
        schedule->blocked_readers += (unsigned)change;
    }
    if (directory->reading == READING_REMOTE) {
        assert(change > 0 || job->pair->readers > 0);
        job->pair->readers += (unsigned)change;
    }
}

static void push_directory(struct copyengine_job *job, struct directory *directory)
{
    directory->next = job->unread_directories;
    job->unread_directories = directory;
}

static struct directory *pop_directory(struct schedule *schedule, struct copyengine_job *job)
{
    struct directory *directory = job->unread_directories;
    assert(directory && directory->job == job);
    job->unread_directories = directory->next;
    directory->reading = classify_reading(job);
    count_reader(schedule, directory, 1);
    return directory;
}

struct directory *schedule_take_directory(struct schedule *schedule)
{
    struct directory *directory = NULL;
    pthread_mutex_lock(&schedule->lock);
    while (!schedule->stopping) {
        struct copyengine_job *job = choose_job_to_read(schedule);
        if (job) {
            directory = pop_directory(schedule, job);
            wake_reader(schedule); /* perhaps there is work for another one */
            break;
        }
        schedule->idle_readers++;
        pthread_cond_wait(&schedule->reader_wake, &schedule->lock);
        schedule->idle_readers--;
    }
    pthread_mutex_unlock(&schedule->lock);
    return directory;
}

void schedule_add_directory(struct schedule *schedule, struct directory *directory)
{
    pthread_mutex_lock(&schedule->lock);
    assert(directory->parent || !has_work(directory->job));
    push_directory(directory->job, directory);
    wake_reader(schedule);
    pthread_mutex_unlock(&schedule->lock);
}

int schedule_submit(struct schedule *schedule, struct copyengine_job *job,
                    struct copyengine_job **ret)
{
    struct directory *root = directory_new(job, NULL, "");
    if (!root) {
        job_release(job);
        return -ENOMEM;
    }
    *ret = job; /* before it begins, and perhaps is done at once */
    job_reference(job);
    pthread_mutex_lock(&schedule->lock);
    job->next = schedule->jobs;
    schedule->jobs = job;
    schedule->job_count++;
    pthread_mutex_unlock(&schedule->lock);
    schedule_add_directory(schedule, root);
    return 0;
}

void schedule_remove_job(struct schedule *schedule, struct copyengine_job *job)
{
    pthread_mutex_lock(&schedule->lock);
    assert(!has_work(job));
    struct copyengine_job **link = &schedule->jobs;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    assert(schedule->job_count > 0);
    schedule->job_count--;
    pthread_mutex_unlock(&schedule->lock);
}

/* With the lock held. */
static void append_batches(struct schedule *schedule, struct copyengine_job *job,
                           struct batch *batches)
{
    bool any = batches;
    assert(is_locked(schedule));
    while (batches) {
        struct batch *batch = batches;
        assert(batch->count > 0 && batch->taken == 0);
        batches = batch->next;
        batch_queue_append(&job->batches, batch);
        job->queued_batches++;
        job->queued_files += batch->count;
    }
    assert(!job->batches.first == (job->queued_batches == 0));
    wake_for_changed_jobs(schedule);
    if (any)
        wake_workers(schedule, job, MIN(job->queued_files, (unsigned)WOKEN_AT_ONCE));
}

void schedule_give_directory(struct schedule *schedule, struct directory *directory, bool more,
                             struct directory *directories, struct batch *batches)
{
    struct copyengine_job *job = directory->job;
    pthread_mutex_lock(&schedule->lock);
    job->files_found += batch_count_files(batches);
    if (more)
        push_directory(job, directory);
    while (directories) {
        struct directory *found = directories;
        directories = found->next;
        push_directory(job, found);
    }
    append_batches(schedule, job, batches);
    if (job->unread_directories && job->read_by_workers)
        wake_workers(schedule, job, WOKEN_AT_ONCE);
    wake_reader(schedule); /* one more than the caller, who comes back for the next directory */
    count_reader(schedule, directory, -1);
    if (!job->unread_directories && job->active_readers == 0)
        job->walked = true;
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_add_batches(struct schedule *schedule, struct copyengine_job *job,
                          struct batch *batches)
{
    pthread_mutex_lock(&schedule->lock);
    append_batches(schedule, job, batches);
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_add_local_batches(struct schedule *schedule, struct copyengine_job *job,
                                struct batch *batches)
{
    pthread_mutex_lock(&schedule->lock);
    while (batches) {
        struct batch *batch = batches;
        batches = batch->next;
        batch_queue_append(&job->local_batches, batch);
        job->queued_local_files += batch->count;
    }
    wake_seats(schedule, 0, slice_share_of_local(schedule, job),
               MIN(job->queued_local_files, (unsigned)WOKEN_AT_ONCE));
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_add_file(struct schedule *schedule, struct copyengine_job *job, struct file *file)
{
    assert(file->shared && file->range_bytes > 0 && file->untaken == 0);
    uint64_t ranges = file->size / file->range_bytes + 1;
    pthread_mutex_lock(&schedule->lock);
    file->next = job->untaken_files;
    job->untaken_files = file;
    wake_workers(schedule, job, (unsigned)MIN(ranges, (uint64_t)WORKERS_MAX));
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_skip_hole(struct schedule *schedule, struct file *file, uint64_t offset)
{
    pthread_mutex_lock(&schedule->lock);
    file->untaken = MAX(file->untaken, MIN(offset, file->size - 1)); /* the last range stays */
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_add_units(struct schedule *schedule, struct copyengine_job *job, size_t count)
{
    pthread_mutex_lock(&schedule->lock);
    assert(job->unit_count == 0 && count >= job->part_count);
    job->unit_count = count;
    decide_who_copies(schedule, job);
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_ready_units(struct schedule *schedule, struct copyengine_job *job, size_t count)
{
    pthread_mutex_lock(&schedule->lock);
    assert(count <= job->unit_count);
    if (count > job->ready_units) {
        job->ready_units = count;
        wake_workers(schedule, job,
                     (unsigned)MIN(count - job->untaken_unit, (size_t)WOKEN_AT_ONCE));
    }
    pthread_mutex_unlock(&schedule->lock);
}

void schedule_release_units(struct schedule *schedule, struct copyengine_job *job, size_t first,
                            size_t end)
{
    pthread_mutex_lock(&schedule->lock);
    units_give_back(job, first, end, &schedule->parts_bytes);
    wake_for_other_jobs(schedule);
    pthread_mutex_unlock(&schedule->lock);
}

static struct copyengine_job *choose_job_to_copy(struct schedule *schedule, const struct seat *seat)
{
    struct copyengine_job *best = NULL;
    for (struct copyengine_job *job = schedule->jobs; job; job = job->next)
        if ((may_take_local(schedule, seat, job) ||
             (has_work_for_workers(schedule, job) && may_copy(schedule, seat, job))) &&
            !delay_list_has_job(&seat->delays, job) &&
            (!best || job_weigh_service(job) < job_weigh_service(best)))
            best = job;
    return best;
}

bool schedule_take_slice(struct schedule *schedule, struct seat *seat, struct slice *ret)
{
    pthread_mutex_lock(&schedule->lock);
    set_seat_job(schedule, seat, NULL); /* what it had is done */
    wake_for_changed_jobs(schedule);
    struct copyengine_job *job = choose_job_to_copy(schedule, seat);
    if (job) {
        set_seat_job(schedule, seat, job);
        *ret = (struct slice){0};
        bool rest = has_work_for_workers(schedule, job) && may_copy(schedule, seat, job);
        if (may_take_local(schedule, seat, job) && !(rest && job->untaken_files))
            *ret = slice_take_local(schedule, job);
        else if (job->untaken_files)
            ret->file = ranges_take(job, &ret->offset, &ret->range_end);
        else if (job->batches.first)
            *ret = slice_take_files(schedule, job);
        else if (job->untaken_unit == job->ready_units)
            *ret = (struct slice){.directory = pop_directory(schedule, job)};
        else
            *ret = (struct slice){.supplied = job, .unit = units_take(job, &schedule->parts_bytes)};
        ret->unit_end = job->untaken_unit;
        wake_for_other_jobs(schedule);
    }
    wake_reader(schedule);
    pthread_mutex_unlock(&schedule->lock);
    return job;
}

bool schedule_stop(struct schedule *schedule)
{
    pthread_mutex_lock(&schedule->lock);
    bool jobs_left = schedule->jobs;
    schedule->stopping = true;
    pthread_cond_broadcast(&schedule->reader_wake);
    pthread_mutex_unlock(&schedule->lock);
    return jobs_left;
}
