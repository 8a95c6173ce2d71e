/*
 * One job: counters, the first error, progress. Completions drive all reports; there is no timer,
 * so that a copy that hangs is seen to hang.
 */
#include "engine/job.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/directory.h"
#include "engine/manifest.h"
#include "engine/supplied.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum {
    PROGRESS_INTERVAL_MS = 200,
    FILE_SERVICE_BYTES = 16384, /* what creating a file costs, in bytes copied */
    PRIORITY_WEIGHT = 16,
    WARNINGS_MAX = 100, /* of a job; more are counted */
};

static void job_destroy(struct copyengine_job *job)
{
    assert(!job->unread_directories && !job->batches.first && !job->untaken_files);
    assert(!job->local_batches.first && job->ready_units == job->unit_count);
    assert(job->active_readers == 0 && job->untaken_unit == job->unit_count);
    if (job->asked_kind->destroy)
        job->asked_kind->destroy(job);
    cleanup_close_fd(&job->source_dirfd);
    cleanup_close_fd(&job->copy.destination_dirfd);
    free((char *)job->copy.destination_shown);
    free((char *)job->copy.source);
    free((char *)job->copy.destination);
    free(job->root_absolute);
    free(job->root_resolved);
    free((char *)job->result.error.path);
    hard_links_destroy(&job->hard_links);
    manifest_free(job->manifest);
    limit_destroy(&job->limit);
    pthread_mutex_destroy(&job->lock);
    pthread_mutex_destroy(&job->report_lock);
    pthread_cond_destroy(&job->done_cond);
    free(job);
}

int job_new(struct engine_common *common, const struct job_kind *kind,
            const struct copyengine_copy *copy, struct copyengine_job **ret)
{
    struct copyengine_job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    job->common = common;
    job->kind = job->asked_kind = kind;
    job->copy = *copy;
    job->copy.source = copy->source ? strdup(copy->source) : NULL;
    job->copy.destination = strdup(copy->destination);
    job->copy.destination_shown =
        strdup(copy->destination_shown ? copy->destination_shown : copy->destination);
    if (copy->destination_dirfd >= 0)
        job->copy.destination_dirfd = fcntl(copy->destination_dirfd, F_DUPFD_CLOEXEC, 0);
    if (job->copy.progress_interval_ms == 0)
        job->copy.progress_interval_ms = PROGRESS_INTERVAL_MS;
    job->source_dirfd = AT_FDCWD;
    job->references = 1;
    job->last_progress.size = sizeof(job->last_progress);
    job->result.progress = &job->last_progress;
    pthread_mutex_init(&job->lock, NULL);
    pthread_mutex_init(&job->report_lock, NULL);
    pthread_cond_init(&job->done_cond, NULL);
    limit_init(&job->limit, copy->bytes_per_s);
    hard_links_init(&job->hard_links);
    atomic_store(&job->reported_ns, clock_monotonic_ns());
    int result = copy->manifest ? manifest_new(copy->manifest_fd, &job->manifest) : 0;
    if (copy->destination_dirfd >= 0 && job->copy.destination_dirfd < 0)
        result = -EMFILE;
    if (!job->copy.destination || !job->copy.destination_shown ||
        (copy->source && !job->copy.source))
        result = -ENOMEM;
    if (result < 0) {
        job_destroy(job);
        return result;
    }
    *ret = job;
    return 0;
}

void job_reference(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    assert(job->references > 0);
    job->references++;
    pthread_mutex_unlock(&job->lock);
}

void job_release(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    assert(job->references > 0);
    unsigned left = --job->references;
    pthread_mutex_unlock(&job->lock);
    if (left == 0)
        job_destroy(job);
}

void copyengine_job_free(struct copyengine_job *job)
{
    if (job)
        job_release(job);
}

static const char *root_path(const struct copyengine_job *job, enum job_side side)
{
    const char *path = side == JOB_SOURCE ? job->copy.source : job->copy.destination_shown;
    assert(path);
    return path;
}

/* The explanation of an error, if it lies behind its path, in the same memory; else NULL. */
static const char *own_explanation(const struct copyengine_error *error)
{
    const char *behind = error->path ? error->path + strlen(error->path) + 1 : NULL;
    return behind == error->explanation ? behind : NULL;
}

/* A path, allocated; with its explanation, if that lies behind it. */
static char *copy_path(const struct copyengine_error *error)
{
    const char *explanation = own_explanation(error);
    size_t length = strlen(error->path) + 1;
    if (explanation)
        length += strlen(explanation) + 1;
    char *copy = malloc(length);
    return copy ? memcpy(copy, error->path, length) : NULL;
}

void copyengine_error_copy(const struct copyengine_error *error, struct copyengine_error *ret)
{
    *ret = *error;
    ret->path = error->path ? copy_path(error) : NULL;
    if (own_explanation(error))
        ret->explanation = ret->path ? ret->path + strlen(ret->path) + 1 : NULL;
}

/* Stops a job with an error, if it is the first. */
static void take_error(struct copyengine_job *job, const struct copyengine_error *error)
{
    pthread_mutex_lock(&job->lock);
    if (job->result.error.code == 0 && !job->ended)
        copyengine_error_copy(error, &job->result.error);
    if (!job->cleaning_up) /* which goes on, whatever cannot be removed */
        atomic_store(&job->stopped, true);
    pthread_mutex_unlock(&job->lock);
}

void job_fail_because(struct copyengine_job *job, const char *operation, enum job_side side,
                      const struct directory *directory, const char *name, int code,
                      const char *explanation)
{
    char path[PATH_MAX];
    assert(code > 0);
    directory_path(root_path(job, side), directory, name, path, sizeof(path));
    take_error(job, &(struct copyengine_error){code, operation, path, explanation});
}

void job_fail_at(struct copyengine_job *job, const char *operation, const char *path, int code,
                 const char *explanation)
{
    char shown[PATH_MAX];
    char both[PATH_MAX + 256];
    directory_path(job->copy.source, NULL, path, shown, sizeof(shown));
    size_t at = strlen(shown) + 1;
    memcpy(both, shown, at);
    snprintf(both + at, sizeof(both) - at, "%s", explanation);
    take_error(job, &(struct copyengine_error){code, operation, both, both + at});
}

void job_fail(struct copyengine_job *job, const char *operation, enum job_side side,
              const struct directory *directory, const char *name, int code)
{
    job_fail_because(job, operation, side, directory, name, code, NULL);
}

void copyengine_cancel(struct copyengine_job *job)
{
    const struct job_kind *kind = job->asked_kind;
    job_fail(job, kind->verb, kind->side, NULL, NULL, ECANCELED);
    job->common->on_cancelled(job);
}

void job_warn_of(struct copyengine_job *job, const char *path, const char *text)
{
    if (!job->copy.on_warning)
        return;
    pthread_mutex_lock(&job->report_lock);
    if (!job->silent && job->warnings++ < WARNINGS_MAX)
        job->copy.on_warning(job->copy.context, path, text);
    pthread_mutex_unlock(&job->report_lock);
}

void job_warn(struct copyengine_job *job, const struct directory *directory, const char *name,
              const char *text)
{
    if (!job->copy.on_warning)
        return;
    char path[PATH_MAX];
    directory_path(job->copy.source, directory, name, path, sizeof(path));
    job_warn_of(job, path, text);
}

void job_silence(struct copyengine_job *job)
{
    char text[64];
    pthread_mutex_lock(&job->report_lock);
    if (!job->silent && job->warnings > WARNINGS_MAX) {
        snprintf(text, sizeof(text), "%" PRIu64 " more warnings are not shown",
                 job->warnings - WARNINGS_MAX);
        job->copy.on_warning(job->copy.context, job->copy.source, text);
    }
    job->silent = true;
    pthread_mutex_unlock(&job->report_lock);
}

static uint64_t counter_value(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct copyengine_progress find_progress(const struct copyengine_job *job)
{
    return (struct copyengine_progress){
        .size = sizeof(struct copyengine_progress),
        .files = counter_value(&job->files_done),
        .directories = counter_value(&job->directories_done),
        .symlinks = counter_value(&job->symlinks_done),
        .skipped = counter_value(&job->skipped),
        .bytes = counter_value(&job->bytes_done),
        .files_found = counter_value(&job->files_found),
        .walked = atomic_load_explicit(&job->walked, memory_order_relaxed),
        .arrivals = counter_value(&job->arrivals),
        .cloned_files = counter_value(&job->taken_files[COPYENGINE_TAKEN_CLONED]),
        .cloned_bytes = counter_value(&job->taken_bytes[COPYENGINE_TAKEN_CLONED]),
        .copied_files = counter_value(&job->taken_files[COPYENGINE_TAKEN_COPIED]),
        .copied_bytes = counter_value(&job->taken_bytes[COPYENGINE_TAKEN_COPIED]),
        .fetched_files = counter_value(&job->taken_files[COPYENGINE_TAKEN_FETCHED]),
        .fetched_bytes = counter_value(&job->taken_bytes[COPYENGINE_TAKEN_FETCHED]),
    };
}

unsigned long long job_weigh_service(const struct copyengine_job *job)
{
    unsigned long long service = counter_value(&job->service);
    switch (job->copy.priority) {
    case COPYENGINE_INTERACTIVE:
        return service / PRIORITY_WEIGHT;
    case COPYENGINE_BULK:
        return service * PRIORITY_WEIGHT;
    default:
        return service;
    }
}

void copyengine_job_progress(const struct copyengine_job *job, struct copyengine_progress *ret)
{
    struct copyengine_progress progress = find_progress(job);
    give_struct(ret, sizeof(progress), &progress);
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
    struct copyengine_progress progress = find_progress(job);
    bool cancelled = !job->silent && job->copy.on_progress(job->copy.context, &progress) != 0;
    job->silent |= cancelled;
    pthread_mutex_unlock(&job->report_lock);
    if (cancelled)
        copyengine_cancel(job);
}

void job_moved(struct copyengine_job *job, uint64_t bytes)
{
    atomic_fetch_add_explicit(&job->bytes_done, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->service, bytes, memory_order_relaxed);
    report_if_due(job);
}

void job_arrived(struct copyengine_job *job)
{
    atomic_fetch_add_explicit(&job->arrivals, 1, memory_order_relaxed);
    report_if_due(job);
}

void job_completed(struct copyengine_job *job, atomic_ullong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->service, FILE_SERVICE_BYTES, memory_order_relaxed);
    report_if_due(job);
}

void job_taken(struct copyengine_job *job, size_t entry, enum copyengine_taken taken,
               uint64_t bytes)
{
    const struct supply *supply = job->supply;
    atomic_fetch_add_explicit(&job->taken_files[taken], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->taken_bytes[taken], bytes, memory_order_relaxed);
    if (!supply->on_file)
        return;
    pthread_mutex_lock(&job->report_lock);
    if (!job->silent)
        supply->on_file(job->copy.context, entry, taken);
    pthread_mutex_unlock(&job->report_lock);
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
        error->explanation ? error->explanation : strerror_r(error->code, reason, sizeof(reason));
    snprintf(buffer, size, "%s%s%s: %s", error->operation ? error->operation : "",
             error->path ? " " : "", error->path ? error->path : "", why);
    return buffer;
}

void copyengine_error_clear(struct copyengine_error *error)
{
    free((char *)error->path);
    *error = (struct copyengine_error){0};
}
