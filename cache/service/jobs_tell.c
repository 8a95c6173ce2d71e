/* What is said of jobs: to subscribers, to who waits, in the log, and by method status. */
#include "cache/service/jobs_parts.h"

#include "cache/store/log.h"

#include "engine/clock.h"

#include <inttypes.h>

enum { TELL_MS = 200 };

const char *job_result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : pkgcache_status_name((int)status);
}

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

void job_tell_state(struct server *server, const struct want *want, const char *status)
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

void job_tell_progress(struct server *server, const struct job *job)
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

static void write_result(struct text *text, const struct want *want)
{
    const struct pkgcache_result *result = &want->result;
    text_append_byte(text, '{');
    if (want->job->named) {
        text_append_string(text, "\"variant\": ");
        message_write_string(text, want->name);
        text_printf(text, ", \"handle\": %s, ", want->handle_json ? want->handle_json : "null");
    }
    text_printf(text, "\"status\": \"%s\", \"root\": ", job_result_word(result->status));
    message_write_string(text, result->root);
    text_append_string(text, ", \"reason\": ");
    message_write_string(text, result->reason);
    text_printf(text, ", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", result->files,
                result->bytes);
}

void job_answer(const struct job *job)
{
    struct text *text = call_begin(job->call);
    write_summary(text, job);
    text_append_string(text, ", \"results\": [");
    for (size_t i = 0; i < job->count; i++) {
        text_append_string(text, i ? ", " : "");
        write_result(text, &job->wants[i]);
    }
    text_append_string(text, "]}");
    call_end(job->call);
}

void job_log(struct server *server, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    write_summary(&text, job);
    if (text.error == 0)
        log_write(server->cache, LOGGED_INFO, "Daemon: job of user %u is done: %s}",
                  (unsigned)job->peer.uid, text.bytes);
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
        job_tell_progress(server, job);
    for (struct work *work = server->jobs.works; work; work = work->newer) {
        if (!stalls(server, work))
            continue;
        log_write(server->cache, LOGGED_WARNING, "Daemon: no progress for %u s with %s from %s",
                  server->cache_options.stall_grace_s, work->handle->qualified_name,
                  work->root ? work->root : "?");
        for (const struct want *want = work->wants; want; want = want->next)
            job_tell_state(server, want, "stalled");
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
