/*
 * The books of a run: who is to be begun with, who is being copied, and whether there is room for
 * more. What happens next is warm.c's business.
 */
#include "cache/warm/run.h"

#include "cache/warm/space.h"
#include "engine/clock.h"

#include <assert.h>
#include <string.h>

enum {
    SMALL_MAX = 8,          /* that are copied at once, and have not turned out to be large */
    LARGE_BYTES = 64 << 20, /* copied: it is large */
    SPACE_LOOK_MS = 100,    /* between two looks, while there is plenty */
    PASSED_OVER_MAX = 16,   /* so many more urgent ones go first, then it is the others' turn */
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

/* The queue whose turn it is: the most urgent one, unless that has been so for too long. */
static struct addition_queue *next_queue(struct run *run)
{
    struct addition_queue *next = NULL;
    for (unsigned i = 0; i < RUN_PRIORITIES; i++) {
        struct addition_queue *queue = &run->queues[i];
        if (!queue->first)
            continue;
        if (!next || queue->passed_over >= PASSED_OVER_MAX)
            next = queue;
    }
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        if (run->queues[i].first && &run->queues[i] != next)
            run->queues[i].passed_over++;
    return next;
}

struct addition *run_dequeue(struct run *run)
{
    struct addition_queue *queue = next_queue(run);
    if (!queue)
        return NULL;
    struct addition *addition = queue->first;
    assert(addition->stage == STAGE_NEW && !addition->slot && !addition->job);
    queue->passed_over = 0;
    queue->first = addition->next;
    if (!queue->first)
        queue->last = &queue->first;
    return addition;
}

void run_withdraw(struct run *run, struct addition *addition)
{
    struct addition_queue *queue = &run->queues[priority_index(addition)];
    assert(addition->stage == STAGE_NEW);
    struct addition **link = &queue->first;
    while (*link != addition)
        link = &(*link)->next;
    *link = addition->next;
    if (!addition->next)
        queue->last = link;
}

bool run_has_new(const struct run *run)
{
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        if (run->queues[i].first)
            return true;
    return false;
}

void run_add_job(struct run *run, struct addition *addition)
{
    assert(addition->job && run->job_count < RUN_JOBS_MAX);
    addition->job_place = run->job_count;
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

unsigned run_spare_jobs(const struct run *run)
{
    unsigned small = 0;
    for (size_t i = 0; i < run->job_count; i++)
        small += copied_bytes(run->jobs[i]) < LARGE_BYTES;
    if (run->job_count >= RUN_JOBS_MAX || small >= SMALL_MAX || run->flushing >= run->flushing_max)
        return 0;
    unsigned wanted = MIN(RUN_JOBS_MAX - (unsigned)run->job_count, SMALL_MAX - small);
    return (unsigned)MIN((size_t)wanted, run->flushing_max - run->flushing);
}

bool run_lacks_space(const struct run *run, char ret_reason[static SPACE_REASON_MAX])
{
    struct space space;
    return space_measure(run->cache->fd, &space) == 0 &&
           space_is_short(&space, &run->cache->options, false, ret_reason);
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

void run_keep_space(struct run *run)
{
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
    struct addition *addition = largest_job(run);
    addition->stopped = strdup(reason);
    if (addition->stopped)
        copyengine_cancel(addition->job);
}
