/*
 * Cancelling. A job that is cancelled begins nothing new, and ends as soon as what is under way has
 * ended. What waits for a server that does not answer cannot be ended: such a job is ended for its
 * owner after a moment, what it made is removed, and what still hangs is left behind. When that
 * wakes up, it finds its job stopped, and makes nothing: see where job_is_stopped() is asked.
 */
#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/engine.h"
#include "engine/thread.h"

enum { ABANDON_AFTER_MS = 300 };

static struct copyengine_job *pop(struct canceller *canceller)
{
    struct copyengine_job *job = canceller->jobs;
    canceller->jobs = job->next_cancelled;
    return job;
}

/* All wait for the same time, so those that came first are due first. */
static void *canceller_main(void *argument)
{
    struct copyengine *engine = argument;
    struct canceller *canceller = &engine->canceller;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!canceller->jobs) {
            pthread_cond_wait(&canceller->wake, &engine->lock);
            continue;
        }
        uint64_t due_ns = canceller->jobs->abandon_at_ns;
        if (clock_monotonic_ns() < due_ns) {
            struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                                   .tv_nsec = (long)(due_ns % NS_PER_S)};
            pthread_cond_timedwait(&canceller->wake, &engine->lock, &due);
            continue;
        }
        struct copyengine_job *job = pop(canceller);
        pthread_mutex_unlock(&engine->lock);
        job_abandon(job);
        job_release(job);
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void start(struct copyengine *engine)
{
    struct canceller *canceller = &engine->canceller;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&canceller->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    canceller->started = thread_start(&canceller->thread, canceller_main, engine) == 0;
}

void cancel_watch(struct copyengine_job *job)
{
    struct copyengine *engine = job->engine;
    struct canceller *canceller = &engine->canceller;
    pthread_mutex_lock(&engine->lock);
    if (!canceller->started)
        start(engine);
    if (canceller->started && job->abandon_at_ns == 0) {
        struct copyengine_job **last = &canceller->jobs;
        while (*last)
            last = &(*last)->next_cancelled;
        *last = job;
        job->abandon_at_ns = clock_monotonic_ns() + ABANDON_AFTER_MS * NS_PER_MS;
        pthread_mutex_lock(&job->lock);
        job->references++;
        pthread_mutex_unlock(&job->lock);
        pthread_cond_signal(&canceller->wake);
    }
    pthread_mutex_unlock(&engine->lock);
}

void cancel_stop(struct copyengine *engine)
{
    struct canceller *canceller = &engine->canceller;
    if (!canceller->started)
        return;
    pthread_mutex_lock(&engine->lock);
    pthread_cond_signal(&canceller->wake);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(canceller->thread, NULL);
    while (canceller->jobs)
        job_release(pop(canceller));
    pthread_cond_destroy(&canceller->wake);
}

void copyengine_cancel(struct copyengine_job *job)
{
    const struct copyengine_copy *copy = &job->copy; /* job->kind changes when a copy fails */
    if (!copy->source)
        job_fail(job, "remove", JOB_DESTINATION, NULL, NULL, ECANCELED);
    else
        job_fail(job, *copy->destination ? "copy" : "scan", JOB_SOURCE, NULL, NULL, ECANCELED);
    cancel_watch(job);
}
