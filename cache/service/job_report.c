/* What is said of jobs: to subscribers, to who waits, in the log, and by method status. */
#include "cache/service/job_report.h"

#include "cache/store/log.h"

#include "engine/clock.h"

#include <inttypes.h>

/* What became of a variant, in a word: one that was there before is "found", as the command line
 * says it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : pkgcache_status_name((int)status);
}

void job_notify_state(struct connections *connections, const struct want *want, const char *status)
{
    CLEANUP_TEXT struct text text = {0};
    if (!connections_want_job(connections, want->job->number))
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
        connections_notify(connections, want->job->number, &text);
}

static void count_copied(const struct job *job, uint64_t *ret_files, uint64_t *ret_bytes)
{
    *ret_files = *ret_bytes = 0;
    for (size_t i = 0; i < job->count; i++) {
        const struct want *want = &job->wants[i];
        const struct copy *copy = want->work ? &want->work->copy : NULL;
        *ret_files += copy ? atomic_load(&copy->files) : want->result.files;
        *ret_bytes += copy ? atomic_load(&copy->bytes) : want->result.bytes;
    }
}

void job_notify_result(struct connections *connections, const struct want *want)
{
    job_notify_state(connections, want, result_word(want->result.status));
}

void job_notify_progress(struct connections *connections, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    uint64_t files;
    uint64_t bytes;
    if (!connections_want_job(connections, job->number))
        return;
    count_copied(job, &files, &bytes);
    message_begin_notification(&text, "progress");
    text_printf(&text,
                "{\"job\": %" PRIu64 ", \"variants\": %zu, \"done\": %zu, \"files\": %" PRIu64
                ", \"bytes\": %" PRIu64 "}}\n",
                job->number, job->count, job->done, files, bytes);
    if (text.error == 0)
        connections_notify(connections, job->number, &text);
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
    text_printf(text, "\"status\": \"%s\", \"root\": ", result_word(result->status));
    message_write_string(text, result->root);
    text_append_string(text, ", \"reason\": ");
    message_write_string(text, result->reason);
    text_printf(text, ", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", result->files,
                result->bytes);
}

void job_answer_begun(const struct call *call, const struct job *job)
{
    text_printf(call_begin(call), "{\"job\": %" PRIu64 ", \"variants\": %zu}", job->number,
                job->count);
    call_end(call);
}

void job_answer_results(const struct job *job)
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

void job_log_end(struct pkgcache *cache, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    write_summary(&text, job);
    if (text.error == 0)
        log_write(cache, LOGGED_INFO, "Daemon: job of user %u is done: %s}",
                  (unsigned)job->peer.uid, text.bytes);
}

void job_log_stalled(struct pkgcache *cache, const struct work *work, unsigned grace_s)
{
    log_write(cache, LOGGED_WARNING, "Daemon: no progress for %u s with %s from %s", grace_s,
              work->handle->qualified_name, work->root ? work->root : "?");
}

static void write_job(struct text *text, const struct job *job)
{
    uint64_t files;
    uint64_t bytes;
    count_copied(job, &files, &bytes);
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

void job_append_status(struct text *text, const struct job *jobs, struct work *works)
{
    enum { SHOWN_MAX = 256 };
    size_t shown = 0;
    text_append_string(text, "\"jobs\": [");
    for (const struct job *job = jobs; job && shown < SHOWN_MAX; job = job->next) {
        text_append_string(text, shown++ ? ", " : "");
        write_job(text, job);
    }
    text_append_string(text, "], \"work\": [");
    shown = 0;
    for (struct work *work = works; work && shown < SHOWN_MAX; work = work->newer) {
        if (atomic_load(&work->copy.state) == COPY_QUEUED)
            continue;
        text_append_string(text, shown++ ? ", " : "");
        write_work(text, work);
    }
    text_append_string(text, "]");
}
