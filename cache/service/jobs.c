/*
 * Jobs. A piece of work knows who wants it, and a job what it wants: neither is long.
 *
 *     job.h         what they are made of
 *     jobs.c        what begins and ends
 *     job_report.c  what is said of it
 */
#include "cache/service/jobs.h"

#include "cache/service/job_report.h"
#include "cache/service/rooting.h"
#include "cache/store/warnings.h"

#include "engine/clock.h"

#include <search.h>
#include <string.h>

enum { PROGRESS_MS = 200 };

/* --- Progress -------------------------------------------------------------------------------- */

/* Whether a variant has stalled just now. Those that wait, wait for somebody else. */
static bool has_just_stalled(const struct jobs *jobs, struct work *work)
{
    struct copy *copy = &work->copy;
    int state = atomic_load(&copy->state);
    uint64_t progress = atomic_load(&copy->files) + atomic_load(&copy->bytes) + (uint64_t)state;
    uint64_t now_ns = clock_monotonic_ns();
    if (progress != work->progress || state == COPY_QUEUED || state == COPY_WAITING) {
        work->progress = progress;
        work->changed_ns = now_ns;
        work->stalled = false;
    }
    bool was_stalled = work->stalled;
    work->stalled = now_ns - work->changed_ns > jobs->stall_grace_s * NS_PER_S;
    return work->stalled && !was_stalled;
}

static void on_progress_time(struct loop_timer *timer)
{
    struct jobs *jobs = CONTAINER_OF(timer, struct jobs, progress_timer);
    for (const struct job *job = jobs->first; job; job = job->next)
        job_notify_progress(jobs->connections, job);
    for (struct work *work = jobs->works; work; work = work->newer) {
        if (!has_just_stalled(jobs, work))
            continue;
        job_log_stalled(jobs->cache, work, jobs->stall_grace_s);
        for (const struct want *want = work->wants; want; want = want->next)
            job_notify_state(jobs->connections, want, "stalled");
    }
}

void jobs_init(struct jobs *jobs)
{
    jobs->progress_timer.on_time = on_progress_time;
}

/* --- The end of jobs ------------------------------------------------------------------------- */

static void free_job(struct jobs *jobs, struct job *job)
{
    *(job->previous ? &job->previous->next : &jobs->first) = job->next;
    *(job->next ? &job->next->previous : &jobs->last) = job->previous;
    if (--jobs->count == 0)
        loop_stop_timer(&jobs->progress_timer);
    jobs->wants -= job->count;
    for (size_t i = 0; i < job->count; i++) {
        pkgcache_results_free(&job->wants[i].result, sizeof(job->wants[i].result), 1);
        free(job->wants[i].name);
        free(job->wants[i].handle_json);
    }
    call_free(job->call);
    free(job);
}

/* Ends a job whose last variant is done. */
static void end_if_done(struct jobs *jobs, struct job *job)
{
    if (job->done < job->count)
        return;
    job_notify_progress(jobs->connections, job);
    job_log_end(jobs->cache, job);
    if (job->call)
        job_answer_results(job);
    if (job->subscriber)
        connection_unsubscribe(job->subscriber, job->number);
    free_job(jobs, job);
}

static void finish_want(struct jobs *jobs, struct want *want)
{
    enum pkgcache_status status = want->result.status;
    want->work = NULL;
    want->job->done++;
    jobs->counters->variants_done++;
    jobs->counters->variants_failed += status == PKGCACHE_FAILED;
    job_notify_result(jobs->connections, want);
}

static void fail_want(struct jobs *jobs, struct want *want, const char *why)
{
    want->result = (struct pkgcache_result){.status = PKGCACHE_FAILED, .reason = strdup(why)};
    finish_want(jobs, want);
}

/* --- Work ------------------------------------------------------------------------------------ */

static int compare_work(const void *a, const void *b)
{
    const struct work *left = a;
    const struct work *right = b;
    return handle_compare(left->handle, right->handle);
}

static void free_work(struct jobs *jobs, struct work *work)
{
    *(work->older ? &work->older->newer : &jobs->works) = work->newer;
    if (work->newer)
        work->newer->older = work->older;
    jobs->work_count--;
    pkgcache_results_free(&work->copy.result, sizeof(work->copy.result), 1);
    handle_free(work->handle);
    free(work->root);
    free(work->requires_json);
    free(work);
}

/* The work for a variant, begun if there is none. Takes over handle, root and requirements. */
static struct work *begin_work(struct jobs *jobs, struct source_variant *variant,
                               const struct job_options *options)
{
    struct work *work = calloc(1, sizeof(*work));
    if (!work)
        return NULL;
    work->handle = STEAL(variant->handle);
    work->root = STEAL(variant->root);
    work->requires_json = STEAL(variant->requires_json);
    work->has_definition = variant->has_definition;
    work->jobs = jobs;
    work->changed_ns = clock_monotonic_ns();
    work->newer = jobs->works;
    if (jobs->works)
        jobs->works->older = work;
    jobs->works = work;
    jobs->work_count++;
    struct work *const *node = tsearch(work, &jobs->by_handle, compare_work);
    struct work *found = node ? *node : NULL;
    if (found != work) {
        free_work(jobs, work);
        return found;
    }
    work->copy.variant = (struct pkgcache_variant){.handle = work->handle,
                                                   .root = work->root,
                                                   .force = options->force,
                                                   .priority = options->priority,
                                                   .requires_json = work->requires_json};
    work->copy.reports_rootless = options->named;
    work->copy.source_device = variant->root_device;
    work->copy.source_inode = variant->root_inode;
    copier_add(jobs->copier, &work->copy);
    return work;
}

static bool is_same_root(const char *a, const char *b)
{
    return !a || !b || strcmp(a, b) == 0;
}

/* What the answer calls it: the handle, which tells variants of a package apart. */
static char *write_handle(const struct pkgcache_handle *handle)
{
    struct text text = {0};
    char *json = NULL;
    handle_to_json(&text, handle);
    text_steal(&text, &json, NULL);
    return json;
}

/* Begins with one variant of a job. */
static void begin_variant(struct jobs *jobs, struct want *want, struct source_variant *variant,
                          const struct job_options *options)
{
    const struct pkgcache_handle *handle = variant->handle;
    want->name = handle ? strdup(handle->qualified_name) : STEAL(variant->text);
    if (handle && options->named)
        want->handle_json = write_handle(handle);
    if (variant->reason) {
        want->result = source_variant_result(variant);
        finish_want(jobs, want);
        return;
    }
    CLEANUP_FREE char *wanted = variant->root ? strdup(variant->root) : NULL;
    struct work *work = begin_work(jobs, variant, options);
    if (!work) {
        fail_want(jobs, want, "out of memory");
    } else if (!is_same_root(work->root, wanted)) {
        fail_want(jobs, want,
                  "it is being copied from another root at the moment: try again later");
    } else {
        want->work = work;
        want->next = work->wants;
        work->wants = want;
    }
}

static void detach_want(struct want *want)
{
    struct want **link = &want->work->wants;
    while (*link != want)
        link = &(*link)->next;
    *link = want->next;
}

static void cancel_job(struct jobs *jobs, struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct want *want = &job->wants[i];
        struct work *work = want->work;
        if (!work)
            continue;
        detach_want(want);
        fail_want(jobs, want, "cancelled");
        if (!work->wants) {
            tdelete(work, &jobs->by_handle, compare_work);
            if (!work->is_rooting)
                copier_cancel(jobs->copier, &work->copy);
        }
    }
    end_if_done(jobs, job);
}

/* --- What others call ------------------------------------------------------------------------ */

static size_t count_wants_of_user(const struct jobs *jobs, uid_t uid)
{
    size_t wants = 0;
    for (const struct job *job = jobs->first; job; job = job->next)
        wants += job->peer.uid == uid ? job->count : 0;
    return wants;
}

static size_t count_of_connection(const struct jobs *jobs, uint64_t connection)
{
    size_t found = 0;
    for (const struct job *job = jobs->first; job; job = job->next)
        found += job->connection == connection;
    return found;
}

/* Makes a job; or fails the call, and returns NULL. */
static struct job *make_job(struct jobs *jobs, const struct call *call, size_t variants,
                            const struct job_options *options)
{
    const struct peer *peer = connection_peer(call->connection);
    uint64_t connection = connection_number(call->connection);
    if (jobs->count >= JOBS_MAX || jobs->wants + variants > WANTS_MAX ||
        count_of_connection(jobs, connection) >= JOBS_OF_CONNECTION_MAX ||
        count_wants_of_user(jobs, peer->uid) + variants > WANTS_OF_USER_MAX) {
        call_fail(call, MESSAGE_BUSY, 0, "too many variants are waiting already: try again later");
        return NULL;
    }
    struct job *job = calloc(1, sizeof(*job) + variants * sizeof(job->wants[0]));
    struct call *kept = job && options->wait ? call_keep(call) : NULL;
    if (!job || (options->wait && !kept)) {
        free(job);
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        return NULL;
    }
    *job = (struct job){
        .previous = jobs->last,
        .number = ++jobs->last_number,
        .connection = connection,
        .call = kept,
        .peer = *peer,
        .began_ns = clock_monotonic_ns(),
        .named = options->named,
        .count = variants,
    };
    for (size_t i = 0; i < variants; i++)
        job->wants[i].job = job;
    *(jobs->last ? &jobs->last->next : &jobs->first) = job;
    jobs->last = job;
    if (jobs->count++ == 0)
        loop_start_timer(jobs->loop, &jobs->progress_timer, PROGRESS_MS * NS_PER_MS);
    jobs->wants += variants;
    jobs->counters->jobs++;
    return job;
}

void jobs_begin(struct jobs *jobs, const struct call *call, struct source_variants *variants,
                const struct job_options *options)
{
    struct job *job = make_job(jobs, call, variants->count, options);
    if (!job)
        return;
    if (options->progress && connection_subscribe(call->connection, job->number) == 0)
        job->subscriber = call->connection;
    if (!options->wait)
        job_answer_begun(call, job);
    for (size_t i = 0; i < variants->count; i++)
        begin_variant(jobs, &job->wants[i], &variants->items[i], options);
    end_if_done(jobs, job);
}

static struct job *find_job(const struct jobs *jobs, uint64_t number)
{
    struct job *job = jobs->first;
    while (job && job->number != number)
        job = job->next;
    return job;
}

bool jobs_contain(const struct jobs *jobs, uint64_t number)
{
    return find_job(jobs, number);
}

int jobs_cancel(struct jobs *jobs, const struct peer *peer, uint64_t number)
{
    struct job *job = find_job(jobs, number);
    if (!job)
        return -ENOENT;
    if (job->peer.uid != peer->uid && !peer_is_owner(peer))
        return -EPERM;
    cancel_job(jobs, job);
    return 0;
}

/* One result for all who want it. */
static void deliver_result(struct jobs *jobs, struct work *work)
{
    const struct pkgcache_result *result = &work->copy.result;
    struct want *wants = STEAL(work->wants);
    if (wants)
        tdelete(work, &jobs->by_handle, compare_work);
    jobs->files += result->files;
    jobs->reused_files += result->reused_files;
    jobs->reused_bytes += result->reused_bytes;
    jobs->bytes += result->bytes;
    for (struct want *want = wants, *next; want; want = next) {
        next = want->next;
        want->result = (struct pkgcache_result){
            .status = result->status,
            .root = result->root ? strdup(result->root) : NULL,
            .reason = result->reason ? strdup(result->reason) : NULL,
            .files = result->files,
            .fetched_files = result->fetched_files,
            .fetched_bytes = result->fetched_bytes,
            .reused_files = result->reused_files,
            .reused_bytes = result->reused_bytes,
            .bytes = result->bytes,
        };
        warnings_copy(result, &want->result);
        finish_want(jobs, want);
        end_if_done(jobs, want->job);
    }
}

static void end_work(struct jobs *jobs, struct work *work)
{
    deliver_result(jobs, work);
    free_work(jobs, work);
}

/* Its root was found, or why it has none. */
static void on_root(void *context, struct source_variant *variant)
{
    struct work *work = context;
    struct jobs *jobs = work->jobs;
    struct copy *copy = &work->copy;
    work->is_rooting = false;
    pkgcache_results_free(&copy->result, sizeof(copy->result), 1);
    if (!work->wants) { /* cancelled meanwhile */
        free_work(jobs, work);
        return;
    }
    if (jobs->loop->stopping)
        source_variant_give_reason(variant, ECANCELED, "the daemon is stopping");
    if (variant->reason) {
        copy->result = source_variant_result(variant);
        end_work(jobs, work);
        return;
    }
    copy->variant.root = work->root = STEAL(variant->root);
    if (!work->requires_json)
        copy->variant.requires_json = work->requires_json = STEAL(variant->requires_json);
    copier_add(jobs->copier, copy);
}

/*
 * Has the root found of what was in the cache when it was named, and is not any more. Where a
 * client named it by its handle, the client knows where it is, or not.
 *
 * @return whether that was begun; if not, the work is done
 */
static bool begin_rooting(struct jobs *jobs, struct work *work)
{
    enum pkgcache_status status = work->copy.result.status;
    bool wanted = false;
    if (work->root || (status != PKGCACHE_NOT_FOUND && status != PKGCACHE_FAILED))
        return false;
    for (const struct want *want = work->wants; want; want = want->next)
        wanted = wanted || want->job->named;
    int result = !wanted || jobs->loop->stopping
                     ? -ECANCELED
                     : rooting_begin(jobs->reading, work->handle, work->has_definition,
                                     work->copy.variant.force, on_root, work);
    work->is_rooting = result == 0;
    if (result < 0 && status == PKGCACHE_NOT_FOUND)
        work->copy.result = (struct pkgcache_result){
            .status = PKGCACHE_FAILED,
            .reason =
                strdup("it was removed meanwhile, and its root could not be found; try again"),
        };
    return work->is_rooting;
}

void jobs_take_done(struct jobs *jobs)
{
    struct copy *copy = copier_take_done(jobs->copier);
    for (struct copy *next; copy; copy = next) {
        next = copy->next;
        struct work *work = CONTAINER_OF(copy, struct work, copy);
        if (!begin_rooting(jobs, work))
            end_work(jobs, work);
    }
}

void jobs_end_connection(struct jobs *jobs, const struct connection *connection)
{
    for (struct job *job = jobs->first, *next; job; job = next) {
        next = job->next;
        if (job->subscriber == connection)
            job->subscriber = NULL;
        if (job->call && job->call->connection == connection)
            cancel_job(jobs, job);
    }
}

static void keep_node(void *work)
{
    (void)work;
}

void jobs_free(struct jobs *jobs)
{
    while (jobs->first)
        free_job(jobs, jobs->first);
    while (jobs->works)
        free_work(jobs, jobs->works);
    tdestroy(jobs->by_handle, keep_node);
}
