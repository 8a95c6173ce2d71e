/* Jobs. A piece of work knows who wants it, and a job what it wants: neither is long. */
#include "cache/service/jobs.h"

#include "cache/log.h"
#include "cache/service/server.h"

#include "engine/clock.h"

#include <inttypes.h>
#include <search.h>
#include <string.h>

enum { TELL_MS = 200 };

/** A variant of a job. */
struct want {
    struct want *next; /* of the same work */
    struct job *job;
    struct work *work; /* NULL: it is done */
    struct pkgcache_result result;
    char *name;
};

struct job {
    struct job *next;
    struct job *previous;
    uint64_t number;
    uint64_t connection;     /* its number */
    struct connection *told; /* hears of it for as long as it lasts; NULL */
    struct call *call;       /* NULL: nobody waits */
    struct peer peer;
    uint64_t began_ns;
    size_t count;
    size_t done;
    struct want wants[];
};

/** A variant on its way, for all who want it. */
struct work {
    struct copy copy;
    struct work *newer;
    struct work *older;
    struct pkgcache_handle *handle;
    char *root;
    struct want *wants; /* NULL: it is cancelled, and not found any more */
    uint64_t changed_ns;
    uint64_t seen; /* how far it was then */
    bool stalled;
};

/* A variant that was there before is "found", as the command line says it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : pkgcache_status_name((int)status);
}

/* --- Telling --------------------------------------------------------------------------------- */

static void tell(struct server *server, uint64_t job, const struct text *text)
{
    for (struct connection *connection = NULL; (connection = connection_next(server, connection));)
        if (connection_hears_of(connection, job))
            connection_notify(connection, text);
}

static bool is_heard_of(const struct server *server, uint64_t job)
{
    for (struct connection *connection = NULL; (connection = connection_next(server, connection));)
        if (connection_hears_of(connection, job))
            return true;
    return false;
}

/* Tells of a change of one variant of a job. */
static void tell_state(struct server *server, const struct want *want, const char *status)
{
    CLEANUP_TEXT struct text text = {0};
    if (!is_heard_of(server, want->job->number))
        return;
    message_begin_notification(&text, "state");
    text_printf(&text, "{\"job\": %" PRIu64 ", \"index\": %zu, \"variant\": ", want->job->number,
                (size_t)(want - want->job->wants));
    message_write_string(&text, want->name);
    text_printf(&text, ", \"status\": \"%s\", \"root\": ", status);
    message_write_string(&text, want->result.root);
    text_append_string(&text, ", \"reason\": ");
    message_write_string(&text, want->result.reason);
    text_append_string(&text, "}}\n");
    if (text.error == 0)
        tell(server, want->job->number, &text);
}

static void count(const struct job *job, uint64_t *ret_files, uint64_t *ret_bytes)
{
    *ret_files = *ret_bytes = 0;
    for (size_t i = 0; i < job->count; i++) {
        const struct want *want = &job->wants[i];
        const struct copy *copy = want->work ? &want->work->copy : NULL;
        *ret_files += copy ? atomic_load(&copy->files) : want->result.files;
        *ret_bytes += copy ? atomic_load(&copy->bytes) : want->result.bytes;
    }
}

static void tell_progress(struct server *server, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    uint64_t files;
    uint64_t bytes;
    if (!is_heard_of(server, job->number))
        return;
    count(job, &files, &bytes);
    message_begin_notification(&text, "progress");
    text_printf(&text,
                "{\"job\": %" PRIu64 ", \"variants\": %zu, \"done\": %zu, \"files\": %" PRIu64
                ", \"bytes\": %" PRIu64 "}}\n",
                job->number, job->count, job->done, files, bytes);
    if (text.error == 0)
        tell(server, job->number, &text);
}

/* --- The end of jobs ------------------------------------------------------------------------- */

static void write_summary(struct text *text, const struct job *job)
{
    static const struct {
        const char *key;
        enum pkgcache_status status;
    } keys[] = {
        {"created", PKGCACHE_CREATED}, {"found", PKGCACHE_FOUND},
        {"copying", PKGCACHE_COPYING}, {"stalled", PKGCACHE_COPY_STALLED},
        {"skipped", PKGCACHE_SKIPPED}, {"failed", PKGCACHE_FAILED},
    };
    size_t counts[PKGCACHE_FAILED + 1] = {0};
    uint64_t files = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < job->count; i++) {
        const struct pkgcache_result *result = &job->wants[i].result;
        counts[result->status]++;
        files += result->files;
        bytes += result->bytes;
    }
    text_printf(text, "{\"job\": %" PRIu64 ", \"variants\": %zu", job->number, job->count);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        text_printf(text, ", \"%s\": %zu", keys[i].key, counts[keys[i].status]);
    text_printf(text, ", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.3f", files,
                bytes, (double)(clock_monotonic_ns() - job->began_ns) / (double)NS_PER_S);
}

static void write_result(struct text *text, const struct pkgcache_result *result)
{
    text_printf(text, "{\"status\": \"%s\", \"root\": ", result_word(result->status));
    message_write_string(text, result->root);
    text_append_string(text, ", \"reason\": ");
    message_write_string(text, result->reason);
    text_printf(text, ", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", result->files,
                result->bytes);
}

static void answer(const struct job *job)
{
    struct text *text = call_begin(job->call);
    write_summary(text, job);
    text_append_string(text, ", \"results\": [");
    for (size_t i = 0; i < job->count; i++) {
        text_append_string(text, i ? ", " : "");
        write_result(text, &job->wants[i].result);
    }
    text_append_string(text, "]}");
    call_end(job->call);
}

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
    }
    call_free(job->call);
    free(job);
}

static void log_job(struct server *server, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    write_summary(&text, job);
    if (text.error == 0)
        log_write(server->cache, LOGGED_INFO, "Daemon: job of user %u is done: %s}",
                  (unsigned)job->peer.uid, text.bytes);
}

/* Ends a job whose last variant is done. */
static void end_if_done(struct server *server, struct job *job)
{
    if (job->done < job->count)
        return;
    tell_progress(server, job);
    log_job(server, job);
    if (job->call)
        answer(job);
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
    tell_state(server, want, result_word(status));
}

static void fail(struct server *server, struct want *want, const char *why)
{
    want->result = (struct pkgcache_result){.status = PKGCACHE_FAILED, .reason = strdup(why)};
    finish(server, want);
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
    free(work);
}

/* The work for a variant, begun if there is none. Takes over handle and root. */
static struct work *find_work(struct server *server, struct pkgcache_handle *handle, char *root,
                              const struct job_options *options)
{
    struct jobs *jobs = &server->jobs;
    struct work *work = calloc(1, sizeof(*work));
    if (!work) {
        handle_free(handle);
        free(root);
        return NULL;
    }
    work->handle = handle;
    work->root = root;
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
    work->copy.variant = (struct pkgcache_variant){
        .handle = handle, .root = root, .force = options->force, .priority = options->priority};
    copier_add(server->copier, &work->copy);
    return work;
}

static bool same_root(const char *a, const char *b)
{
    return !a || !b || strcmp(a, b) == 0;
}

/* Begins with one variant of a job, as a client names it. */
static void begin_variant(struct server *server, struct want *want, const struct json *variant,
                          const struct job_options *options)
{
    static const char *const members[] = {"handle", "root", NULL};
    struct pkgcache_error error;
    struct pkgcache_handle *handle = NULL;
    CLEANUP_FREE char *root = NULL;
    const struct json *value = json_member(variant, "handle");
    if (!value || !message_has_only(variant, members)) {
        fail(server, want, "a variant is {\"handle\": {...}, \"root\": \"/...\"}");
        return;
    }
    if (message_path(json_member(variant, "root"), &root) < 0) {
        fail(server, want, "its root is not an absolute path");
        return;
    }
    if (handle_from_json(value, &handle, &error) < 0) {
        fail(server, want, error.message);
        return;
    }
    want->name = strdup(handle->qualified_name);
    CLEANUP_FREE char *wanted = root ? strdup(root) : NULL;
    struct work *work = find_work(server, handle, STEAL(root), options);
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

void jobs_begin(struct server *server, const struct call *call, const struct json *variants,
                const struct job_options *options)
{
    size_t wanted = 0;
    for (const struct json *variant = variants->first; variant; variant = variant->next)
        wanted++;
    struct job *job = make_job(server, call, wanted, options);
    if (!job)
        return;
    if (options->progress && connection_subscribe(call->connection, job->number) == 0)
        job->told = call->connection;
    if (!options->wait) {
        struct text *text = call_begin(call);
        text_printf(text, "{\"job\": %" PRIu64 ", \"variants\": %zu}", job->number, wanted);
        call_end(call);
    }
    size_t place = 0;
    for (const struct json *variant = variants->first; variant; variant = variant->next)
        begin_variant(server, &job->wants[place++], variant, options);
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

/* Whether a variant has stalled just now. Those that wait, wait for somebody else. */
static bool stalls(const struct server *server, struct work *work)
{
    struct copy *copy = &work->copy;
    int state = atomic_load(&copy->state);
    uint64_t seen = atomic_load(&copy->files) + atomic_load(&copy->bytes) + (uint64_t)state;
    uint64_t now_ns = clock_monotonic_ns();
    if (seen != work->seen || state == COPY_QUEUED || state == COPY_WAITING) {
        work->seen = seen;
        work->changed_ns = now_ns;
        work->stalled = false;
    }
    bool stalled = now_ns - work->changed_ns > server->cache_options.stall_grace_s * NS_PER_S;
    bool news = stalled && !work->stalled;
    work->stalled = stalled;
    return news;
}

void jobs_tick(struct server *server)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns - server->jobs.told_ns < TELL_MS * NS_PER_MS)
        return;
    server->jobs.told_ns = now_ns;
    for (const struct job *job = server->jobs.first; job; job = job->next)
        tell_progress(server, job);
    for (struct work *work = server->jobs.works; work; work = work->newer) {
        if (!stalls(server, work))
            continue;
        log_write(server->cache, LOGGED_WARNING, "Daemon: no progress for %u s with %s from %s",
                  server->cache_options.stall_grace_s, work->handle->qualified_name,
                  work->root ? work->root : "?");
        for (const struct want *want = work->wants; want; want = want->next)
            tell_state(server, want, "stalled");
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

static void write_job(struct text *text, const struct job *job)
{
    uint64_t files;
    uint64_t bytes;
    count(job, &files, &bytes);
    text_printf(text,
                "{\"job\": %" PRIu64 ", \"user\": %u, \"process\": %d, \"variants\": %zu, "
                "\"done\": %zu, \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.3f}",
                job->number, (unsigned)job->peer.uid, (int)job->peer.pid, job->count, job->done,
                files, bytes, (double)(clock_monotonic_ns() - job->began_ns) / (double)NS_PER_S);
}

static void write_work(struct text *text, struct work *work)
{
    static const char *const words[] = {"queued", "checking", "waiting", "copying", "flushing"};
    text_append_string(text, "{\"variant\": ");
    message_write_string(text, work->handle->qualified_name);
    text_append_string(text, ", \"source\": ");
    message_write_string(text, work->root);
    text_printf(text, ", \"state\": \"%s\", \"stalled\": %s, \"files\": %llu, \"bytes\": %llu}",
                words[atomic_load(&work->copy.state)], work->stalled ? "true" : "false",
                atomic_load(&work->copy.files), atomic_load(&work->copy.bytes));
}

void jobs_write(const struct server *server, struct text *text)
{
    enum { SHOWN_MAX = 256 };
    size_t shown = 0;
    text_append_string(text, "\"jobs\": [");
    for (const struct job *job = server->jobs.first; job && shown < SHOWN_MAX; job = job->next) {
        text_append_string(text, shown++ ? ", " : "");
        write_job(text, job);
    }
    text_append_string(text, "], \"work\": [");
    shown = 0;
    for (struct work *work = server->jobs.works; work && shown < SHOWN_MAX; work = work->newer) {
        if (atomic_load(&work->copy.state) == COPY_QUEUED)
            continue;
        text_append_string(text, shown++ ? ", " : "");
        write_work(text, work);
    }
    text_append_string(text, "]");
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
