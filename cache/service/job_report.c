/* What is said of jobs: to subscribers, to who waits, in the log, and by method status. */
#include "cache/service/job_report.h"

#include "cache/store/figures.h"
#include "cache/store/log.h"
#include "cache/store/warnings.h"

#include "engine/clock.h"

enum { WARNINGS_UNTIL_BYTES = 4 << 20 }; /* of an answer: those of the rest are in the log only */

/* What became of a variant, in a word: one that was there before is "found", as the command line
 * says it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : pkgcache_status_name(status);
}

static void notify(struct connections *connections, uint64_t job, const char *method, cJSON *params)
{
    CLEANUP_TEXT struct text text = {0};
    message_append_notification(&text, method, params);
    text_append_byte(&text, '\n');
    if (text.error == 0)
        connections_notify(connections, job, &text);
}

void job_notify_state(struct connections *connections, const struct want *want, const char *status)
{
    if (!connections_want_job(connections, want->job->number))
        return;
    cJSON *params = cJSON_CreateObject();
    json_add_unsigned(params, "job", want->job->number);
    json_add_unsigned(params, "index", (size_t)(want - want->job->wants));
    json_add_string_reference(params, "variant", want->name);
    json_add_string_reference(params, "status", status);
    json_add_string_reference(params, "root", want->result.root);
    json_add_string_reference(params, "reason", want->result.reason);
    warnings_add_json(params, &want->result);
    notify(connections, want->job->number, "state", params);
}

void job_notify_result(struct connections *connections, const struct want *want)
{
    job_notify_state(connections, want, result_word(want->result.status));
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

/* Adds how far a job is. */
static void add_progress(cJSON *object, const struct job *job)
{
    uint64_t files;
    uint64_t bytes;
    count_copied(job, &files, &bytes);
    json_add_unsigned(object, "variants", job->count);
    json_add_unsigned(object, "done", job->done);
    json_add_unsigned(object, "files", files);
    json_add_unsigned(object, "bytes", bytes);
}

static void add_seconds(cJSON *object, const struct job *job)
{
    uint64_t age_ns = clock_monotonic_ns() - job->began_ns;
    json_add_decimal(object, "seconds", (double)age_ns / (double)NS_PER_S, 3);
}

void job_notify_progress(struct connections *connections, const struct job *job)
{
    if (!connections_want_job(connections, job->number))
        return;
    cJSON *params = cJSON_CreateObject();
    json_add_unsigned(params, "job", job->number);
    add_progress(params, job);
    notify(connections, job->number, "progress", params);
}

static cJSON *build_summary(const struct job *job)
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
    struct pkgcache_result copied = {0};
    for (size_t i = 0; i < job->count; i++) {
        const struct pkgcache_result *result = &job->wants[i].result;
        counts[result->status]++;
        figures_sum_copied(&copied, result);
    }
    cJSON *summary = cJSON_CreateObject();
    json_add_unsigned(summary, "job", job->number);
    json_add_unsigned(summary, "variants", job->count);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        json_add_unsigned(summary, keys[i].key, counts[keys[i].status]);
    figures_add_copied(summary, &copied);
    add_seconds(summary, job);
    return summary;
}

/* @param warns whether there is room for warnings */
static cJSON *build_result(const struct want *want, bool warns)
{
    const struct pkgcache_result *result = &want->result;
    cJSON *object = cJSON_CreateObject();
    if (want->job->named) {
        json_add_string_reference(object, "variant", want->name);
        json_add_raw_reference(object, "handle", want->handle_json ? want->handle_json : "null");
    }
    json_add_string_reference(object, "status", result_word(result->status));
    json_add_string_reference(object, "root", result->root);
    json_add_string_reference(object, "reason", result->reason);
    figures_add_copied(object, result);
    if (warns)
        warnings_add_json(object, result);
    return object;
}

void job_answer_begun(const struct call *call, const struct job *job)
{
    cJSON *result = cJSON_CreateObject();
    json_add_unsigned(result, "job", job->number);
    json_add_unsigned(result, "variants", job->count);
    call_answer(call, result);
}

void job_answer_results(const struct job *job)
{
    struct json_stream answer = {0};
    message_open_result(&answer, job->call->id);
    json_stream_add_members(&answer, build_summary(job));
    json_stream_open(&answer, "results", '[');
    for (size_t i = 0; i < job->count; i++)
        json_stream_add(&answer,
                        build_result(&job->wants[i], answer.text.length < WARNINGS_UNTIL_BYTES));
    json_stream_close(&answer, ']');
    message_close_result(&answer);
    call_answer_stream(job->call, &answer);
}

void job_log_end(struct pkgcache *cache, const struct job *job)
{
    CLEANUP_TEXT struct text text = {0};
    json_print(&text, build_summary(job));
    if (text.error == 0)
        log_write(cache, LOGGED_INFO, "Daemon: job of user %u is done: %s", (unsigned)job->peer.uid,
                  text.bytes);
}

void job_log_stalled(struct pkgcache *cache, const struct work *work, unsigned grace_s)
{
    log_write(cache, LOGGED_WARNING, "Daemon: no progress for %u s with %s from %s", grace_s,
              work->handle->qualified_name, work->root ? work->root : "?");
}

static cJSON *build_job(const struct job *job)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "job", job->number);
    json_add_unsigned(object, "user", job->peer.uid);
    json_add_integer(object, "process", job->peer.pid);
    add_progress(object, job);
    add_seconds(object, job);
    return object;
}

static cJSON *build_work(struct work *work)
{
    static const char *const words[] = {"queued", "checking", "waiting", "copying", "flushing"};
    cJSON *object = cJSON_CreateObject();
    json_add_string_reference(object, "variant", work->handle->qualified_name);
    json_add_string_reference(object, "source", work->root);
    json_add_string_reference(object, "state", words[atomic_load(&work->copy.state)]);
    json_add_boolean(object, "stalled", work->stalled);
    json_add_unsigned(object, "files", atomic_load(&work->copy.files));
    json_add_unsigned(object, "bytes", atomic_load(&work->copy.bytes));
    return object;
}

void job_add_status(cJSON *status, const struct job *jobs, struct work *works)
{
    enum { SHOWN_MAX = 256 };
    size_t shown = 0;
    cJSON *array = json_add_array(status, "jobs");
    for (const struct job *job = jobs; job && shown < SHOWN_MAX; job = job->next, shown++)
        json_add_item(array, NULL, build_job(job));
    array = json_add_array(status, "work");
    shown = 0;
    for (struct work *work = works; work && shown < SHOWN_MAX; work = work->newer) {
        if (atomic_load(&work->copy.state) == COPY_QUEUED)
            continue;
        json_add_item(array, NULL, build_work(work));
        shown++;
    }
}
