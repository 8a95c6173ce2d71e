/*
 * One job: counters, the first error, progress, the end. Completions drive all reports; there is no
 * timer, so that a copy that hangs is seen to hang.
 */
#include "engine/job.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/directory.h"
#include "engine/engine.h"
#include "engine/hard_link.h"
#include "engine/manifest.h"

#include <limits.h>
#include <string.h>

enum {
    PROGRESS_INTERVAL_MS = 200,
    FILE_SERVICE_BYTES = 16384, /* what creating a file costs, in bytes copied */
};

static void job_destroy(struct copyengine_job *job)
{
    free((char *)job->copy.source);
    free((char *)job->copy.destination);
    free(job->root_absolute);
    free(job->root_resolved);
    free((char *)job->result.error.path);
    hard_links_free(job->hard_links);
    manifest_free(job->manifest);
    limit_destroy(&job->limit);
    pthread_mutex_destroy(&job->lock);
    pthread_mutex_destroy(&job->report_lock);
    pthread_cond_destroy(&job->done_cond);
    free(job);
}

/* Makes a job of what `copy` says; of a removal, only the destination counts, of a scan the source.
 */
static int job_new(struct copyengine *engine, enum job_kind kind,
                   const struct copyengine_copy *copy, struct copyengine_job **ret)
{
    struct copyengine_job *job = calloc(1, sizeof(*job));
    if (!job)
        return -ENOMEM;
    job->engine = engine;
    job->kind = kind;
    job->copy = *copy;
    job->copy.source = copy->source ? strdup(copy->source) : NULL;
    job->copy.destination = strdup(copy->destination);
    if (job->copy.progress_interval_ms == 0)
        job->copy.progress_interval_ms = PROGRESS_INTERVAL_MS;
    job->references = 1;
    pthread_mutex_init(&job->lock, NULL);
    pthread_mutex_init(&job->report_lock, NULL);
    pthread_cond_init(&job->done_cond, NULL);
    limit_init(&job->limit, copy->bytes_per_s);
    atomic_store(&job->reported_ns, clock_monotonic_ns());
    int result = copy->manifest ? manifest_new(copy->manifest_fd, &job->manifest) : 0;
    if (!job->copy.destination || (copy->source && !job->copy.source))
        result = -ENOMEM;
    if (result < 0) {
        job_destroy(job);
        return result;
    }
    *ret = job;
    return 0;
}

int job_new_copy(struct copyengine *engine, const struct copyengine_copy *copy,
                 struct copyengine_job **ret)
{
    struct copyengine_copy known;
    int result = take_struct(&known, sizeof(known), copy);
    if (result < 0)
        return result;
    if (!known.source || !known.destination || !*known.source || !*known.destination)
        return -EINVAL;
    return job_new(engine, JOB_COPY, &known, ret);
}

int job_new_removal(struct copyengine *engine, const struct copyengine_removal *removal,
                    struct copyengine_job **ret)
{
    struct copyengine_removal known;
    int result = take_struct(&known, sizeof(known), removal);
    if (result < 0)
        return result;
    if (!known.path || !*known.path)
        return -EINVAL;
    return job_new(engine, JOB_REMOVAL,
                   &(struct copyengine_copy){
                       .destination_dirfd = known.dirfd,
                       .destination = known.path,
                       .on_progress = known.on_progress,
                       .progress_interval_ms = known.progress_interval_ms,
                       .on_done = known.on_done,
                       .context = known.context,
                       .priority = known.priority,
                   },
                   ret);
}

/* Which hashes, of 2^64, belong to the share of files that is read. */
static uint64_t sample_below(double share)
{
    return share > 0 && share < 1 ? (uint64_t)(share * 0x1p64) : UINT64_MAX;
}

int job_new_scan(struct copyengine *engine, const struct copyengine_scan *scan,
                 struct copyengine_job **ret)
{
    struct copyengine_scan known;
    if (take_struct(&known, sizeof(known), scan) < 0 || !known.path || !*known.path ||
        known.sample < 0 || known.sample > 1)
        return -EINVAL;
    int result = job_new(engine, JOB_SCAN,
                         &(struct copyengine_copy){
                             .source = known.path,
                             .destination = "",
                             .on_progress = known.on_progress,
                             .progress_interval_ms = known.progress_interval_ms,
                             .on_done = known.on_done,
                             .context = known.context,
                             .priority = known.priority,
                             .set_id = true, /* all bits that there are */
                             .manifest = true,
                             .manifest_fd = known.manifest_fd,
                         },
                         ret);
    if (result == 0) {
        (*ret)->sample_below = sample_below(known.sample);
        (*ret)->sample_seed = known.seed;
    }
    return result;
}

void job_release(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
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

void job_fail_because(struct copyengine_job *job, const char *operation, enum job_side side,
                      const struct directory *directory, const char *name, int code,
                      const char *explanation)
{
    char path[PATH_MAX];
    pthread_mutex_lock(&job->lock);
    struct copyengine_error *error = &job->result.error;
    if (error->code == 0 && !job->ended) {
        directory_path(job, side, directory, name, path, sizeof(path));
        *error = (struct copyengine_error){
            .code = code,
            .operation = operation,
            .path = strdup(path),
            .explanation = explanation,
        };
    }
    if (!job->cleaning_up) /* which goes on, whatever cannot be removed */
        atomic_store(&job->stopped, true);
    pthread_mutex_unlock(&job->lock);
}

void job_fail(struct copyengine_job *job, const char *operation, enum job_side side,
              const struct directory *directory, const char *name, int code)
{
    job_fail_because(job, operation, side, directory, name, code, NULL);
}

void job_warn(struct copyengine_job *job, const struct directory *directory, const char *name,
              const char *text)
{
    if (!job->copy.on_warning)
        return;
    char path[PATH_MAX];
    directory_path(job, JOB_SOURCE, directory, name, path, sizeof(path));
    pthread_mutex_lock(&job->report_lock);
    if (!job->silent)
        job->copy.on_warning(job->copy.context, path, text);
    pthread_mutex_unlock(&job->report_lock);
}

static uint64_t counter_value(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct copyengine_progress copyengine_job_progress(struct copyengine_job *job)
{
    return (struct copyengine_progress){
        .files = counter_value(&job->files_done),
        .directories = counter_value(&job->directories_done),
        .symlinks = counter_value(&job->symlinks_done),
        .skipped = counter_value(&job->skipped),
        .bytes = counter_value(&job->bytes_done),
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

void job_completed(struct copyengine_job *job, atomic_ullong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&job->service, FILE_SERVICE_BYTES, memory_order_relaxed);
    report_if_due(job);
}

void job_end(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->report_lock);
    job->silent = true;
    pthread_mutex_unlock(&job->report_lock);
    if (job->copy.on_done)
        job->copy.on_done(job->copy.context);
    pthread_mutex_lock(&job->lock);
    job->done = true;
    pthread_cond_broadcast(&job->done_cond);
    pthread_mutex_unlock(&job->lock);
}

/* The result stands from now on. Returns false: it did already. */
static bool settle(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool first = !job->ended;
    if (first)
        job->result.progress = copyengine_job_progress(job);
    job->ended = true;
    pthread_mutex_unlock(&job->lock);
    return first;
}

/* Begins to remove what a copy made that failed. */
static bool clean_up(struct copyengine_job *job)
{
    if (job->result.error.code == 0 || !atomic_load(&job->destination_made))
        return false;
    struct directory *root = directory_new(job, NULL, "");
    if (!root)
        return false;
    pthread_mutex_lock(&job->lock);
    job->cleaning_up = true;
    job->kind = JOB_REMOVAL;
    atomic_store(&job->stopped, false);
    pthread_mutex_unlock(&job->lock);
    schedule_add_root(job->engine, job, root);
    return true;
}

void job_finish(struct copyengine_job *job)
{
    int result = job->manifest && job->kind != JOB_REMOVAL && !job_is_stopped(job)
                     ? manifest_end(job->manifest)
                     : 0;
    if (result < 0)
        job_fail_because(job, "write", job->kind == JOB_SCAN ? JOB_SOURCE : JOB_DESTINATION, NULL,
                         NULL, -result, "the manifest cannot be written");
    bool abandoned = !settle(job) && !job->cleaning_up;
    if (!abandoned && !job->cleaning_up && clean_up(job))
        return;
    engine_remove_job(job->engine, job);
    if (!abandoned)
        job_end(job);
    job_release(job);
}

static void on_abandoned_removed(void *context)
{
    struct copyengine_job *job = context;
    job_end(job);
    job_release(job);
}

void job_abandon(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool late = job->ended;
    if (!late)
        job->references++;
    pthread_mutex_unlock(&job->lock);
    if (late || !settle(job)) {
        if (!late)
            job_release(job);
        return;
    }
    struct copyengine_job *removal = NULL;
    if (atomic_load(&job->destination_made))
        copyengine_submit_removal(job->engine,
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
        copyengine_job_free(removal); /* it goes on, and tells when it is done */
    else
        on_abandoned_removed(job);
}

const struct copyengine_result *copyengine_wait(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    while (!job->done)
        pthread_cond_wait(&job->done_cond, &job->lock);
    pthread_mutex_unlock(&job->lock);
    return &job->result;
}

/* Waits for the job of a call that has none, frees it, and gives its error to the caller. */
static int end_job(struct copyengine_job *job, struct copyengine_error *ret_error)
{
    const struct copyengine_error *error = &copyengine_wait(job)->error;
    int result = -error->code;
    if (ret_error)
        copyengine_error_copy(error, ret_error);
    copyengine_job_free(job);
    return result;
}

/* There is no job. Gives the caller an error that says why, and returns it. */
static int refuse(int result, const char *operation, const char *path,
                  struct copyengine_error *ret_error)
{
    struct copyengine_error error = {.code = -result, .operation = operation, .path = path};
    if (ret_error)
        copyengine_error_copy(&error, ret_error);
    return result;
}

int copyengine_copy_tree(struct copyengine *engine, const struct copyengine_copy *copy,
                         struct copyengine_error *ret_error)
{
    struct copyengine_job *job;
    int result = copyengine_submit(engine, copy, &job);
    return result < 0 ? refuse(result, "copy", NULL, ret_error) : end_job(job, ret_error);
}

int copyengine_remove_tree(struct copyengine *engine, int dirfd, const char *path,
                           struct copyengine_error *ret_error)
{
    struct copyengine_removal removal = {.size = sizeof(removal), .dirfd = dirfd, .path = path};
    struct copyengine_job *job;
    int result = engine ? copyengine_submit_removal(engine, &removal, &job)
                        : engine_remove_alone(&removal, &job);
    return result < 0 ? refuse(result, "remove", path, ret_error) : end_job(job, ret_error);
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

void copyengine_error_copy(const struct copyengine_error *error, struct copyengine_error *ret)
{
    *ret = *error;
    ret->path = error->path ? strdup(error->path) : NULL;
}

void copyengine_error_clear(struct copyengine_error *error)
{
    free((char *)error->path);
    *error = (struct copyengine_error){0};
}
