/*
 * One job: counters, the first error, progress, the end. Completions drive all reports; there is no
 * timer, so that a copy that hangs is seen to hang.
 */
#include "engine/job.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/directory.h"
#include "engine/engine.h"

#include <fcntl.h>
#include <string.h>

enum {
    PROGRESS_INTERVAL_MS = 200,
    FILE_SERVICE_BYTES = 16384, /* what creating a file costs, in bytes copied */
};

int job_new(struct copyengine *engine, const struct copyengine_copy *copy,
            struct copyengine_job **ret)
{
    if (!copy->source || !copy->destination || !*copy->source || !*copy->destination ||
        copy->size > sizeof(*copy))
        return -EINVAL;
    struct copyengine_job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    memcpy(&job->copy, copy, copy->size);
    job->copy.source = strdup(copy->source);
    job->copy.destination = strdup(copy->destination);
    if (job->copy.progress_interval_ms == 0)
        job->copy.progress_interval_ms = PROGRESS_INTERVAL_MS;
    job->engine = engine;
    pthread_mutex_init(&job->lock, NULL);
    pthread_mutex_init(&job->report_lock, NULL);
    pthread_cond_init(&job->done_cond, NULL);
    atomic_store(&job->reported_ns, clock_monotonic_ns());
    if (!job->copy.source || !job->copy.destination) {
        job->done = true;
        copyengine_job_free(job);
        return -ENOMEM;
    }
    *ret = job;
    return 0;
}

void copyengine_job_free(struct copyengine_job *job)
{
    if (!job)
        return;
    free((char *)job->copy.source);
    free((char *)job->copy.destination);
    free(job->root_absolute);
    free(job->root_resolved);
    pthread_mutex_destroy(&job->lock);
    pthread_mutex_destroy(&job->report_lock);
    pthread_cond_destroy(&job->done_cond);
    free(job);
}

void job_fail_because(struct copyengine_job *job, const char *operation, enum job_side side,
                      const struct directory *directory, const char *name, int code,
                      const char *explanation)
{
    pthread_mutex_lock(&job->lock);
    struct copyengine_error *error = &job->result.error;
    if (error->code == 0 && !job->ended) {
        error->code = code;
        snprintf(error->operation, sizeof(error->operation), "%s", operation);
        snprintf(error->explanation, sizeof(error->explanation), "%s", explanation);
        directory_path(job, side, directory, name, error->path, sizeof(error->path));
    }
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->stopped, true);
}

void job_fail(struct copyengine_job *job, const char *operation, enum job_side side,
              const struct directory *directory, const char *name, int code)
{
    job_fail_because(job, operation, side, directory, name, code, "");
}

void copyengine_cancel(struct copyengine_job *job)
{
    job_fail(job, "copy", JOB_SOURCE, NULL, NULL, ECANCELED);
}

void job_warn(struct copyengine_job *job, const struct directory *directory, const char *name,
              const char *text)
{
    if (!job->copy.on_warning)
        return;
    char path[sizeof(job->result.error.path)];
    directory_path(job, JOB_SOURCE, directory, name, path, sizeof(path));
    job->copy.on_warning(job->copy.context, path, text);
}

static uint64_t counter_value(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct copyengine_progress copyengine_job_progress(struct copyengine_job *job)
{
    return (struct copyengine_progress){
        .files = counter_value(&job->files),
        .directories = counter_value(&job->directories),
        .symlinks = counter_value(&job->symlinks),
        .skipped = counter_value(&job->skipped),
        .bytes = counter_value(&job->bytes),
    };
}

static void report_if_due(struct copyengine_job *job)
{
    if (!job->copy.on_progress)
        return;
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    unsigned long long last_ns = counter_value(&job->reported_ns);
    if (now_ns < last_ns + job->copy.progress_interval_ms * NS_PER_MS)
        return;
    if (!atomic_compare_exchange_strong(&job->reported_ns, &last_ns, now_ns))
        return;
    if (pthread_mutex_trylock(&job->report_lock) != 0)
        return; /* the last call still runs */
    struct copyengine_progress progress = copyengine_job_progress(job);
    job->copy.on_progress(job->copy.context, &progress);
    pthread_mutex_unlock(&job->report_lock);
}

void job_moved(struct copyengine_job *job, uint64_t bytes)
{
    atomic_fetch_add_explicit(&job->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->service, bytes, memory_order_relaxed);
    report_if_due(job);
}

void job_completed(struct copyengine_job *job, atomic_ullong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->service, FILE_SERVICE_BYTES, memory_order_relaxed);
    report_if_due(job);
}

void job_finish(struct copyengine_job *job)
{
    engine_remove_job(job->engine, job);
    struct copyengine_result *result = &job->result;
    pthread_mutex_lock(&job->lock);
    job->ended = true;
    pthread_mutex_unlock(&job->lock);
    result->progress = copyengine_job_progress(job);
    if (result->error.code != 0 && job->destination_made)
        copyengine_remove_tree(job->copy.destination_dirfd, job->copy.destination, NULL, NULL,
                               NULL);
    if (job->copy.on_done)
        job->copy.on_done(job->copy.context);
    pthread_mutex_lock(&job->lock);
    job->done = true;
    pthread_cond_broadcast(&job->done_cond);
    pthread_mutex_unlock(&job->lock);
}

const struct copyengine_result *copyengine_wait(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    while (!job->done)
        pthread_cond_wait(&job->done_cond, &job->lock);
    pthread_mutex_unlock(&job->lock);
    return &job->result;
}

const char *copyengine_error_text(const struct copyengine_error *error, char *buffer, size_t size)
{
    char reason[128];
    const char *why =
        *error->explanation ? error->explanation : strerror_r(error->code, reason, sizeof(reason));
    snprintf(buffer, size, "%s %s: %s", error->operation, error->path, why);
    return buffer;
}
