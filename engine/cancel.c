/*
 * Cancelling. A job that is cancelled begins nothing new, and ends as soon as what is under way has
 * ended. What waits for a server that does not answer cannot be ended: such a job is ended for its
 * owner after a moment, what it made is removed, and what still hangs is left behind. When that
 * wakes up, it finds its job stopped, and makes nothing: see where job_is_stopped() is asked.
 */
#include "engine/cancel.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/finish.h"
#include "engine/remove.h"
#include "engine/thread.h"

#include <assert.h>

enum { ABANDON_AFTER_MS = 300 };

static void on_abandoned_removed(void *context)
{
    struct copyengine_job *job = context;
    finish_report(job);
    job_release(job);
}

/* Ends a job for its owner although operations of it hang. What was made is removed. */
static void abandon_job(struct copyengine_job *job)
{
    job_reference(job);
    if (!finish_settle(job)) { /* it ended in time */
        job_release(job);
        return;
    }
    struct copyengine_job *removal = NULL;
    if (atomic_load(&job->destination_made))
        remove_submit(job->common,
                      &(struct copyengine_removal){
                          .size = sizeof(struct copyengine_removal),
                          .dirfd = job->copy.destination_dirfd,
                          .path = job->copy.destination,
                          .on_done = on_abandoned_removed,
                          .context = job,
                          .priority = COPYENGINE_INTERACTIVE,
                      },
                      &removal);
    if (removal)
        copyengine_job_free(removal); /* it goes on, and reports when it is done */
    else
        on_abandoned_removed(job);
}

static struct copyengine_job *pop_cancelled(struct canceller *canceller)
{
    struct copyengine_job *job = canceller->jobs;
    assert(job->abandon_at_ns > 0);
    canceller->jobs = job->next_cancelled;
    return job;
}

/* All wait for the same time, so those that came first are due first. */
static void *canceller_main(void *argument)
{
    struct canceller *canceller = argument;
    pthread_mutex_lock(&canceller->lock);
    while (!canceller->stopping) {
        if (!canceller->jobs) {
            pthread_cond_wait(&canceller->wake, &canceller->lock);
            continue;
        }
        uint64_t due_ns = canceller->jobs->abandon_at_ns;
        if (clock_monotonic_ns() < due_ns) {
            struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                                   .tv_nsec = (long)(due_ns % NS_PER_S)};
            pthread_cond_timedwait(&canceller->wake, &canceller->lock, &due);
            continue;
        }
        struct copyengine_job *job = pop_cancelled(canceller);
        pthread_mutex_unlock(&canceller->lock);
        abandon_job(job);
        job_release(job);
        pthread_mutex_lock(&canceller->lock);
    }
    pthread_mutex_unlock(&canceller->lock);
    return NULL;
}

void canceller_init(struct canceller *canceller)
{
    pthread_condattr_t attributes;
    *canceller = (struct canceller){0};
    pthread_mutex_init(&canceller->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&canceller->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

void canceller_watch(struct copyengine_job *job)
{
    struct canceller *canceller = job->common->canceller;
    pthread_mutex_lock(&canceller->lock);
    if (!canceller->started)
        canceller->started = thread_start(&canceller->thread, canceller_main, canceller) == 0;
    if (canceller->started && job->abandon_at_ns == 0) {
        struct copyengine_job **last = &canceller->jobs;
        while (*last)
            last = &(*last)->next_cancelled;
        *last = job;
        job->abandon_at_ns = clock_monotonic_ns() + ABANDON_AFTER_MS * NS_PER_MS;
        job_reference(job);
        pthread_cond_signal(&canceller->wake);
    }
    pthread_mutex_unlock(&canceller->lock);
}

void canceller_stop(struct canceller *canceller)
{
    pthread_mutex_lock(&canceller->lock);
    bool started = canceller->started;
    canceller->stopping = true;
    pthread_cond_signal(&canceller->wake);
    pthread_mutex_unlock(&canceller->lock);
    if (!started)
        return;
    pthread_join(canceller->thread, NULL);
    while (canceller->jobs)
        job_release(pop_cancelled(canceller));
}

void canceller_destroy(struct canceller *canceller)
{
    assert(!canceller->jobs);
    pthread_cond_destroy(&canceller->wake);
    pthread_mutex_destroy(&canceller->lock);
}
