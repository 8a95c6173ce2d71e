/*
 * Guided self-scheduling (see schedule.c): a worker takes more files at once the more are queued.
 * Two queues: files that are copied from the source, and those of a supply whose contents are on
 * this machine whatever the source is.
 */
#include "engine/slices.h"

#include "engine/compiler.h"
#include "engine/job.h"
#include "engine/shares.h"

#include <assert.h>

enum { SLICE_MAX = 32 }; /* files that a worker takes at once */

unsigned slice_share_of_blocking(struct schedule *schedule, const struct copyengine_job *job)
{
    return share_of_source(schedule->job_count, tuner_value(&schedule->in_flight_tuner),
                           schedule->blocked_workers, job->pair->workers);
}

unsigned slice_share_of_first(struct schedule *schedule, const struct copyengine_job *job)
{
    if (job->blocking || device_pair_is_cold(job->pair))
        return schedule->processors;
    return MIN(tuner_value(&schedule->workers_tuner), job->workers_max);
}

unsigned slice_share_of_local(struct schedule *schedule, const struct copyengine_job *job)
{
    return MIN(tuner_value(&schedule->workers_tuner), job->workers_max);
}

/* How many files of the first batch one of so many takers is to take. */
static unsigned fair_share(unsigned queued, unsigned takers)
{
    return MIN(MAX(queued / takers, 1U), (unsigned)SLICE_MAX);
}

/* Takes the next files of a batch. */
static struct slice take_of(struct batch *batch, unsigned share)
{
    assert(batch->taken < batch->count);
    unsigned count = MIN(share, batch->count - batch->taken);
    batch->taken += count;
    return (struct slice){.batch = batch, .next = batch->taken - count, .end = batch->taken};
}

/*
 * What is left of a directory has its turn after the others where files wait for a server, so that
 * many directories are in use at once: FUSE may look up one name of each at a time only
 * (fuse_lock_inode in fs/fuse/inode.c).
 */
struct slice slice_take_files(struct schedule *schedule, struct copyengine_job *job)
{
    struct batch *batch = job->batches.first;
    unsigned takers = job->blocking ? slice_share_of_blocking(schedule, job)
                                    : slice_share_of_first(schedule, job);
    unsigned share = fair_share(job->queued_files, takers);
    if (job->unread_directories && job->read_by_workers)
        share = batch->count; /* others read a directory, and do not contend for this one */
    struct slice slice = take_of(batch, share);
    job->queued_files -= slice.end - slice.next;
    if (batch->taken == batch->count) {
        batch_queue_pop(&job->batches);
        job->queued_batches--;
    } else if (job->blocking) {
        batch_queue_append(&job->batches, batch_queue_pop(&job->batches));
    }
    assert(job->queued_files >= job->queued_batches); /* no batch without a file to be taken */
    return slice;
}

struct slice slice_take_local(struct schedule *schedule, struct copyengine_job *job)
{
    unsigned takers = slice_share_of_local(schedule, job);
    struct batch *batch = job->local_batches.first;
    struct slice slice = take_of(batch, fair_share(job->queued_local_files, takers));
    assert(job->queued_local_files >= slice.end - slice.next);
    job->queued_local_files -= slice.end - slice.next;
    if (batch->taken == batch->count)
        batch_queue_pop(&job->local_batches);
    return slice;
}
