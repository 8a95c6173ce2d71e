/*
 * Jobs. A piece of work knows who wants it, and a job what it wants: neither is long.
 *
 *     jobs.c       what begins and ends
 *     jobs_tell.c  what is said of it
 */
#include "cache/service/jobs_parts.h"

#include "engine/clock.h"

#include <inttypes.h>
#include <search.h>
#include <string.h>

/* --- The end of jobs ------------------------------------------------------------------------- */

static void free_job(struct server *server, struct job *job)
{
    struct jobs *jobs = &server->jobs;
    *(job->previous ? &job->previous->next : &jobs->first) = job->next;
    *(job->next ? &job->next->previous : &jobs->last) = job->previous;
    jobs->count--;
    jobs->wants -= job->count;
    for (size_t i = 0; i < job->count; i++) {
        pkgcache_results_free(&job->wants[i].result, 1);
        free(job->wants[i].name);
        free(job->wants[i].handle_json);
    }
    call_free(job->call);
    free(job);
}

/* Ends a job whose last variant is done. */
static void end_if_done(struct server *server, struct job *job)
{
    if (job->done < job->count)
        return;
    job_tell_progress(server, job);
    job_log(server, job);
    if (job->call)
        job_answer(job);
    if (job->told)
        connection_unsubscribe(job->told, job->number);
    free_job(server, job);
}

static void finish(struct server *server, struct want *want)
{
    enum pkgcache_status status = want->result.status;
    want->work = NULL;
    want->job->done++;
    server->counters.variants_done++;
    server->counters.variants_failed += status == PKGCACHE_FAILED;
    job_tell_state(server, want, job_result_word(status));
}

static void end_want(struct server *server, struct want *want, enum pkgcache_status status,
                     const char *why)
{
    want->result = (struct pkgcache_result){.status = status, .reason = strdup(why)};
    finish(server, want);
}

static void fail(struct server *server, struct want *want, const char *why)
{
    end_want(server, want, PKGCACHE_FAILED, why);
}

/* --- Work ------------------------------------------------------------------------------------ */

static int compare_work(const void *a, const void *b)
{
    const struct work *left = a;
    const struct work *right = b;
    return handle_compare(left->handle, right->handle);
}

static void free_work(struct server *server, struct work *work)
{
    struct jobs *jobs = &server->jobs;
    *(work->older ? &work->older->newer : &jobs->works) = work->newer;
    if (work->newer)
        work->newer->older = work->older;
    jobs->work_count--;
    pkgcache_results_free(&work->copy.result, 1);
    handle_free(work->handle);
    free(work->root);
    free(work->requires_json);
    free(work);
}

/* The work for a variant, begun if there is none. Takes over handle, root and requirements. */
static struct work *find_work(struct server *server, struct source_variant *variant,
                              const struct job_options *options)
{
    struct jobs *jobs = &server->jobs;
    struct work *work = calloc(1, sizeof(*work));
    if (!work)
        return NULL;
    work->handle = STEAL(variant->handle);
    work->root = STEAL(variant->root);
    work->requires_json = STEAL(variant->requires_json);
    work->changed_ns = clock_monotonic_ns();
    work->newer = jobs->works;
    if (jobs->works)
        jobs->works->older = work;
    jobs->works = work;
    jobs->work_count++;
    struct work *const *node = tsearch(work, &jobs->by_handle, compare_work);
    struct work *found = node ? *node : NULL;
    if (found != work) {
        free_work(server, work);
        return found;
    }
    work->copy.variant = (struct pkgcache_variant){.handle = work->handle,
                                                   .root = work->root,
                                                   .force = options->force,
                                                   .priority = options->priority,
                                                   .requires_json = work->requires_json};
    copier_add(server->copier, &work->copy);
    return work;
}

static bool same_root(const char *a, const char *b)
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
static void begin_variant(struct server *server, struct want *want, struct source_variant *variant,
                          const struct job_options *options)
{
    const struct pkgcache_handle *handle = variant->handle;
    want->name = handle ? strdup(handle->qualified_name) : STEAL(variant->text);
    if (handle && options->named)
        want->handle_json = write_handle(handle);
    if (variant->reason) {
        end_want(server, want, variant->is_refused ? PKGCACHE_SKIPPED : PKGCACHE_FAILED,
                 variant->reason);
        return;
    }
    CLEANUP_FREE char *wanted = variant->root ? strdup(variant->root) : NULL;
    struct work *work = find_work(server, variant, options);
    if (!work) {
        fail(server, want, "out of memory");
    } else if (!same_root(work->root, wanted)) {
        fail(server, want, "it is being copied from another root just now; try again");
    } else {
        want->work = work;
        want->next = work->wants;
        work->wants = want;
    }
}

static void detach(struct want *want)
{
    struct want **link = &want->work->wants;
    while (*link != want)
        link = &(*link)->next;
    *link = want->next;
}

static void cancel(struct server *server, struct job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct want *want = &job->wants[i];
        struct work *work = want->work;
        if (!work)
            continue;
        detach(want);
        fail(server, want, "cancelled");
        if (!work->wants) {
            tdelete(work, &server->jobs.by_handle, compare_work);
            copier_cancel(server->copier, &work->copy);
        }
    }
    end_if_done(server, job);
}

/* --- What others call ------------------------------------------------------------------------ */

static size_t wants_of(const struct jobs *jobs, uid_t uid)
{
    size_t wants = 0;
    for (const struct job *job = jobs->first; job; job = job->next)
        wants += job->peer.uid == uid ? job->count : 0;
    return wants;
}

static size_t jobs_of(const struct jobs *jobs, uint64_t connection)
{
    size_t found = 0;
    for (const struct job *job = jobs->first; job; job = job->next)
        found += job->connection == connection;
    return found;
}

/* Makes a job; or fails the call, and returns NULL. */
static struct job *make_job(struct server *server, const struct call *call, size_t variants,
                            const struct job_options *options)
{
    struct jobs *jobs = &server->jobs;
    const struct peer *peer = connection_peer(call->connection);
    uint64_t connection = connection_number(call->connection);
    if (jobs->count >= JOBS_MAX || jobs->wants + variants > WANTS_MAX ||
        jobs_of(jobs, connection) >= JOBS_OF_CONNECTION_MAX ||
        wants_of(jobs, peer->uid) + variants > WANTS_OF_USER_MAX) {
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
        .number = ++jobs->numbers,
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
    jobs->count++;
    jobs->wants += variants;
    server->counters.jobs++;
    return job;
}

void jobs_begin(struct server *server, const struct call *call, struct sources *sources,
                const struct job_options *options)
{
    struct job *job = make_job(server, call, sources->count, options);
    if (!job)
        return;
    if (options->progress && connection_subscribe(call->connection, job->number) == 0)
        job->told = call->connection;
    if (!options->wait) {
        struct text *text = call_begin(call);
        text_printf(text, "{\"job\": %" PRIu64 ", \"variants\": %zu}", job->number, job->count);
        call_end(call);
    }
    for (size_t i = 0; i < sources->count; i++)
        begin_variant(server, &job->wants[i], &sources->items[i], options);
    end_if_done(server, job);
}

static struct job *find(const struct server *server, uint64_t number)
{
    struct job *job = server->jobs.first;
    while (job && job->number != number)
        job = job->next;
    return job;
}

bool jobs_have(const struct server *server, uint64_t number)
{
    return find(server, number);
}

int jobs_cancel(struct server *server, const struct peer *peer, uint64_t number)
{
    struct job *job = find(server, number);
    if (!job)
        return -ENOENT;
    if (job->peer.uid != peer->uid && !peer_is_owner(peer))
        return -EPERM;
    cancel(server, job);
    return 0;
}

/* One result for all who want it. */
static void deliver(struct server *server, struct work *work)
{
    const struct pkgcache_result *result = &work->copy.result;
    struct want *wants = STEAL(work->wants);
    if (wants)
        tdelete(work, &server->jobs.by_handle, compare_work);
    server->jobs.files += result->files;
    server->jobs.bytes += result->bytes;
    for (struct want *want = wants, *next; want; want = next) {
        next = want->next;
        want->result = (struct pkgcache_result){
            .status = result->status,
            .root = result->root ? strdup(result->root) : NULL,
            .reason = result->reason ? strdup(result->reason) : NULL,
            .files = result->files,
            .bytes = result->bytes,
        };
        finish(server, want);
        end_if_done(server, want->job);
    }
}

void jobs_take_done(struct server *server)
{
    struct copy *copy = copier_take_done(server->copier);
    for (struct copy *next; copy; copy = next) {
        next = copy->next;
        struct work *work = CONTAINER_OF(copy, struct work, copy);
        deliver(server, work);
        free_work(server, work);
    }
}

void jobs_forget(struct server *server, const struct connection *connection)
{
    for (struct job *job = server->jobs.first, *next; job; job = next) {
        next = job->next;
        if (job->told == connection)
            job->told = NULL;
        if (job->call && job->call->connection == connection)
            cancel(server, job);
    }
}

static void keep(void *work)
{
    (void)work;
}

void jobs_free(struct server *server)
{
    while (server->jobs.first)
        free_job(server, server->jobs.first);
    while (server->jobs.works)
        free_work(server, server->jobs.works);
    tdestroy(server->jobs.by_handle, keep);
}
