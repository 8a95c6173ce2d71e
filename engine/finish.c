/*
 * The end of jobs. The result is settled once: by who finishes the job, or by who abandons it while
 * operations of it hang (cancel.c). Then what a copy made that failed is removed, which still
 * reports progress. When the end is reported, no callback but on_done is called any more.
 */
#include "engine/finish.h"

#include "engine/manifest.h"
#include "engine/schedule.h"

#include <assert.h>

void finish_manifest(struct copyengine_job *job, enum job_side side)
{
    if (!job->manifest || job_is_stopped(job))
        return;
    int result = manifest_end(job->manifest);
    if (result < 0)
        job_fail_because(job, "write", side, NULL, NULL, -result, "the manifest cannot be written");
}

bool finish_settle(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool first = !job->ended;
    if (first)
        copyengine_job_progress(job, &job->last_progress);
    job->ended = true;
    pthread_mutex_unlock(&job->lock);
    return first;
}

void finish_report(struct copyengine_job *job)
{
    job_silence(job);
    if (job->copy.on_done)
        job->copy.on_done(job->copy.context);
    pthread_mutex_lock(&job->lock);
    assert(job->ended && !job->done);
    job->done = true;
    pthread_cond_broadcast(&job->done_cond);
    pthread_mutex_unlock(&job->lock);
}

void finish_leave(struct copyengine_job *job, bool report)
{
    if (job->pair)
        devices_leave(&job->common->devices, job->pair);
    if (job->donor_pair)
        devices_leave(&job->common->devices, job->donor_pair);
    schedule_remove_job(job->common->schedule, job);
    if (report)
        finish_report(job);
    job_release(job);
}
