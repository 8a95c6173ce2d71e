/*
 * The books of a run: who is to be begun with, who is being copied, and whether there is room for
 * more. What happens next is warm.c's business.
 */
#include "cache/warm/run.h"

#include "cache/store/size.h"
#include "cache/warm/space.h"
#include "engine/clock.h"

#include <assert.h>
#include <string.h>

enum {
    LARGE_BYTES = 64 << 20, /* copied: it is large */
    SPACE_LOOK_MS = 100,    /* between two looks, while there is plenty */
    TURN_BYTES = 64 << 10,  /* of each other job, while one waits for its turn (bandwidth limit) */
    PASSED_OVER_MAX = 16,   /* so many more urgent ones go first, then it is the others' turn */
    /* What replaces a slot may be so many times as large (it may have been compressed), and more.
     */
    GROWN_TIMES = 16,
    GROWN_BYTES = 64 << 20,
};

int run_fail(struct run *run, int code)
{
    assert(code < 0);
    if (run->fatal == 0)
        run->fatal = code;
    return code;
}

/* Which of the run's queues a variant belongs to. */
static unsigned priority_index(const struct addition *addition)
{
    switch (addition->variant->priority) {
    case COPYENGINE_INTERACTIVE:
        return 0;
    case COPYENGINE_BULK:
        return 2;
    default:
        return 1;
    }
}

void run_link(struct run *run, struct addition *addition)
{
    assert(addition->stage != STAGE_DONE && !addition->newer);
    assert(!run->newest == !run->oldest); /* both, or neither: nothing is unfinished */
    addition->older = run->newest;
    *(run->newest ? &run->newest->newer : &run->oldest) = addition;
    run->newest = addition;
    if (!run->fresh)
        run->fresh = addition;
    run->unfinished++;
}

void run_unlink(struct run *run, struct addition *addition)
{
    assert(run->unfinished > 0 && addition->stage == STAGE_DONE);
    struct addition *newer = addition->newer;
    struct addition *older = addition->older;
    *(older ? &older->newer : &run->oldest) = newer;
    *(newer ? &newer->older : &run->newest) = older;
    if (run->fresh == addition)
        run->fresh = newer;
    addition->newer = run->done;
    run->done = addition;
    run->unfinished--;
}

void run_init_queues(struct run *run)
{
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        run->queues[i].last = &run->queues[i].first;
}

void run_enqueue(struct run *run, struct addition *addition)
{
    struct addition_queue *queue = &run->queues[priority_index(addition)];
    assert(addition->stage != STAGE_DONE && !addition->check && addition->waiter.place == 0);
    addition->stage = STAGE_NEW;
    addition->next = NULL;
    *queue->last = addition;
    queue->last = &addition->next;
}

/* Whether nobody has begun with what comes the same way, in order. */
static bool is_alone(const struct run *run, const struct warm_supply_kind *kind)
{
    for (size_t i = 0; i < run->job_count; i++)
        if (run->jobs[i]->supply && run->jobs[i]->supply->kind == kind)
            return false;
    return run->claiming == 0;
}

static bool is_held(const struct run *run, const struct addition *addition)
{
    struct warm_supply *supply = addition->supply;
    if (supply && !supply->kind->is_near(supply) && !is_alone(run, supply->kind))
        return true;
    for (size_t i = 0; i < run->held_count; i++)
        if (run->held_devices[i] == addition->root_device)
            return true;
    return false;
}

/* The link to the first of a queue that may be begun with; to NULL: there is none. */
static struct addition **find_first(const struct run *run, struct addition_queue *queue)
{
    struct addition **link = &queue->first;
    while (*link && is_held(run, *link))
        link = &(*link)->next;
    return link;
}

/* The queue whose turn it is: the most urgent one, unless that has been so for too long. */
static struct addition_queue *next_queue(struct run *run)
{
    unsigned next = RUN_PRIORITIES;
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        if (*find_first(run, &run->queues[i]) &&
            (next == RUN_PRIORITIES || run->queues[i].passed_over >= PASSED_OVER_MAX))
            next = i;
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        if (run->queues[i].first && i != next)
            run->queues[i].passed_over++;
    return next < RUN_PRIORITIES ? &run->queues[next] : NULL;
}

static void unlink_queued(struct addition_queue *queue, struct addition **link)
{
    struct addition *addition = *link;
    *link = addition->next;
    if (!addition->next)
        queue->last = link;
}

struct addition *run_dequeue(struct run *run)
{
    struct addition_queue *queue = next_queue(run);
    if (!queue)
        return NULL;
    struct addition **link = find_first(run, queue);
    struct addition *addition = *link;
    assert(addition && addition->stage == STAGE_NEW && !addition->slot && !addition->job);
    queue->passed_over = 0;
    unlink_queued(queue, link);
    return addition;
}

void run_withdraw(struct run *run, struct addition *addition)
{
    struct addition_queue *queue = &run->queues[priority_index(addition)];
    assert(addition->stage == STAGE_NEW);
    struct addition **link = &queue->first;
    while (*link != addition)
        link = &(*link)->next;
    unlink_queued(queue, link);
}

bool run_has_new(const struct run *run)
{
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        if (run->queues[i].first)
            return true;
    return false;
}

/* How large a copy may be that takes the place of another slot. */
static uint64_t find_bytes_max(const struct addition *addition)
{
    const struct pkgcache *cache = addition->run->cache;
    struct size size = {0};
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, addition->variant->handle, false);
    if (hash_fd >= 0) /* what cannot be counted is taken for empty */
        (void)!size_find(hash_fd, addition->replaced, &size);
    return size.bytes >= (UINT64_MAX - GROWN_BYTES) / GROWN_TIMES
               ? UINT64_MAX
               : size.bytes * GROWN_TIMES + GROWN_BYTES;
}

void run_add_job(struct run *run, struct addition *addition)
{
    assert(addition->job && run->job_count < RUN_JOBS_MAX);
    addition->job_place = run->job_count;
    addition->moved_bytes = addition->moved_files = addition->moved_arrivals = 0;
    addition->moved_ns = clock_monotonic_ns();
    addition->bytes_max = addition->replaced ? find_bytes_max(addition) : 0;
    run->jobs[run->job_count++] = addition;
}

void run_free_job(struct run *run, struct addition *addition)
{
    assert(run->job_count > 0 && run->jobs[addition->job_place] == addition);
    struct addition *last = run->jobs[--run->job_count];
    run->jobs[addition->job_place] = last;
    last->job_place = addition->job_place;
    copyengine_job_free(addition->job);
    addition->job = NULL;
}

static uint64_t copied_bytes(const struct addition *addition)
{
    struct copyengine_progress progress = {.size = sizeof(progress)};
    copyengine_job_progress(addition->job, &progress);
    return progress.bytes;
}

/* For how long a job may copy nothing. */
static uint64_t still_ns(const struct run *run)
{
    uint64_t bytes_per_s = run->cache->options.bytes_per_s;
    uint64_t turns_ns = bytes_per_s ? NS_PER_S * RUN_JOBS_MAX * TURN_BYTES / bytes_per_s : 0;
    return RUN_STILL_MS * NS_PER_MS + turns_ns;
}

/* Whether a job moves. */
static bool look_at_job(struct addition *addition, uint64_t now_ns)
{
    struct copyengine_progress progress = {.size = sizeof(progress)};
    copyengine_job_progress(addition->job, &progress);
    if (progress.bytes != addition->moved_bytes || progress.files != addition->moved_files ||
        progress.arrivals != addition->moved_arrivals) {
        addition->moved_bytes = progress.bytes;
        addition->moved_files = progress.files;
        addition->moved_arrivals = progress.arrivals;
        addition->moved_ns = now_ns;
    }
    return now_ns - addition->moved_ns < still_ns(addition->run);
}

/* How many jobs of a device do not move, up to one of them. */
static unsigned count_still(const struct run *run, const bool moves[], size_t until, dev_t device)
{
    unsigned count = 0;
    for (size_t i = 0; i <= until; i++)
        count += !moves[i] && run->jobs[i]->root_device == device;
    return count;
}

void run_look_at_jobs(struct run *run)
{
    bool moves[RUN_JOBS_MAX];
    uint64_t now_ns = clock_monotonic_ns();
    run->small_jobs = 0;
    run->held_count = 0;
    for (size_t i = 0; i < run->job_count; i++) {
        struct addition *addition = run->jobs[i];
        moves[i] = look_at_job(addition, now_ns);
        run->small_jobs += moves[i] && addition->moved_bytes < LARGE_BYTES;
        if (!moves[i] && count_still(run, moves, i, addition->root_device) == RUN_SMALL_MAX)
            run->held_devices[run->held_count++] = addition->root_device;
    }
    assert(run->held_count <= ARRAY_LENGTH(run->held_devices));
}

unsigned run_spare_jobs(const struct run *run)
{
    unsigned small = run->small_jobs;
    if (run->job_count >= RUN_JOBS_MAX || small >= RUN_SMALL_MAX ||
        run->flushing >= run->flushing_max)
        return 0;
    unsigned wanted = MIN(RUN_JOBS_MAX - (unsigned)run->job_count, RUN_SMALL_MAX - small);
    return (unsigned)MIN((size_t)wanted, run->flushing_max - run->flushing);
}

bool run_lacks_space(const struct run *run, char ret_reason[static SPACE_REASON_MAX])
{
    struct space space;
    return space_measure(run->cache->fd, &space) == 0 &&
           space_is_short(&space, &run->cache->options, false, ret_reason);
}

/* What supplies that are being copied will still write. Exactly: without holes, which is slow. */
static uint64_t sum_promised(const struct run *run, bool exactly)
{
    uint64_t promised = run->claimed_bytes;
    for (size_t i = 0; i < run->job_count; i++) {
        struct addition *addition = run->jobs[i];
        if (addition->supply && exactly)
            addition->promised_bytes = addition->supply->kind->measure(addition->supply);
        if (addition->supply)
            promised +=
                addition->promised_bytes - MIN(addition->promised_bytes, copied_bytes(addition));
    }
    return promised;
}

bool run_lacks_room_for(struct run *run, struct addition *addition,
                        char ret_reason[static SPACE_REASON_MAX])
{
    struct space space;
    struct warm_supply *supply = addition->supply;
    const struct pkgcache_options *options = &run->cache->options;
    if (!supply || space_measure(run->cache->fd, &space) < 0)
        return false;
    addition->promised_bytes = supply->bytes;
    bool lacks = space_would_be_short(&space, options, sum_promised(run, false), supply->bytes,
                                      supply->entries, ret_reason);
    if (lacks) { /* perhaps these are holes */
        addition->promised_bytes = supply->kind->measure(supply);
        lacks = space_would_be_short(&space, options, sum_promised(run, true),
                                     addition->promised_bytes, supply->entries, ret_reason);
    }
    if (!lacks)
        run->claimed_bytes += addition->promised_bytes;
    return lacks;
}

bool run_awaits_space(const struct run *run)
{
    for (size_t i = 0; i < run->job_count; i++)
        if (run->jobs[i]->stopped)
            return true;
    return false;
}

/*
 * The copy to be stopped: that which has taken most. The room is soon enough for all the others
 * then, where stopping the youngest would sacrifice small ones, one by one, to a large one that
 * never fits.
 */
static struct addition *largest_job(const struct run *run)
{
    struct addition *largest = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < run->job_count; i++) {
        uint64_t bytes = copied_bytes(run->jobs[i]);
        if (!largest || bytes > most) {
            largest = run->jobs[i];
            most = bytes;
        }
    }
    return largest;
}

const char run_outgrown[] = "its source is many times as large as what was cached: add it anew";

bool run_outgrows(const struct addition *addition, uint64_t bytes)
{
    return addition->bytes_max > 0 && bytes > addition->bytes_max;
}

static void stop(struct addition *addition, const char *reason)
{
    addition->stopped = strdup(reason);
    if (addition->stopped)
        copyengine_cancel(addition->job);
}

static void stop_outgrown(const struct run *run)
{
    for (size_t i = 0; i < run->job_count; i++)
        if (run->jobs[i]->bytes_max > 0 && !run->jobs[i]->stopped &&
            run_outgrows(run->jobs[i], copied_bytes(run->jobs[i])))
            stop(run->jobs[i], run_outgrown);
}

void run_keep_space(struct run *run)
{
    stop_outgrown(run);
    char reason[SPACE_REASON_MAX];
    struct space space;
    const struct pkgcache_options *options = &run->cache->options;
    uint64_t now_ns = clock_monotonic_ns();
    bool due = atomic_load(&run->space_is_near) ||
               now_ns >= run->space_looked_ns + SPACE_LOOK_MS * NS_PER_MS;
    if (options->space_buffer_bytes == 0 || run->job_count == 0 || !due)
        return;
    run->space_looked_ns = now_ns;
    if (space_measure(run->cache->fd, &space) < 0)
        return;
    atomic_store(&run->space_is_near, space_is_near(&space, options));
    if (!space_is_short(&space, options, true, reason) || run_awaits_space(run))
        return;
    stop(largest_job(run), reason);
}

struct pkgcache_progress run_sum_progress(const struct run *run)
{
    struct pkgcache_progress progress = {
        .variants = run->added,
        .variants_done = run->added - run->unfinished,
        .files = run->copied_files,
        .bytes = run->copied_bytes,
        .files_total = run->copied_files,
    };
    bool known = run->unfinished == run->job_count + run->flushing;
    for (size_t i = 0; i < run->job_count; i++) {
        struct copyengine_progress copied = {.size = sizeof(copied)};
        copyengine_job_progress(run->jobs[i]->job, &copied);
        progress.files += copied.files;
        progress.bytes += copied.bytes;
        progress.files_total += copied.files_found;
        if (progress.current == 0 || run->jobs[i]->index < progress.current)
            progress.current = run->jobs[i]->index + 1;
        known &= copied.walked;
    }
    if (!known)
        progress.files_total = 0;
    return progress;
}
