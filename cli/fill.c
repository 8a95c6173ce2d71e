/* Bringing variants into the cache: progress, errors by variant, one summary. */
#include "cli/fill.h"

#include "cache/json/json_stream.h"
#include "cache/store/figures.h"
#include "cache/store/warnings.h"
#include "cache/warm/run.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/policy.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* What became of all variants of a run. */
struct summary {
    size_t counts[PKGCACHE_FAILED + 1]; /* by status; without what follows */
    size_t not_cachable;                /* and named by a context or a directory (policy.h) */
    size_t interrupted;                 /* not done, because the user stopped it */
    struct pkgcache_result copied;      /* sizes of all that were created */
    double seconds;
};

struct filling {
    struct options *options;
    struct pkgcache *cache;
    struct sources *sources;
    struct pkgcache_result *results;          /* one for each variant; those refused included */
    const struct source_additions *additions; /* while they are warmed */
    double seconds;                           /* that it took */
    const char *interruption; /* the reason of all that were not done since then; NULL: none */
    int code;                 /* the command ends with it; -1: it goes on */
};

/* A variant that was there before is "found" here, and "cached" where one asks for it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : output_status(status);
}

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    const struct filling *filling = context;
    const struct source_additions *additions = filling->additions;
    const char *current = NULL;
    if (progress->current > 0)
        current = filling->sources->variants.items[additions->places[progress->current - 1]].text;
    progress_show(progress, current);
    return 0;
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    const struct filling *filling = context;
    char fetched[16];
    char reused[16];
    const char *name = filling->sources->variants.items[filling->additions->places[index]].text;
    if (result->status == PKGCACHE_FOUND || result->status == PKGCACHE_CREATED)
        output_verbose(filling->options, "%s: %s %s", name, result_word(result->status),
                       result->root ? result->root : "");
    if (result->status == PKGCACHE_CREATED)
        output_verbose(filling->options,
                       "%s: fetched %" PRIu64 " %s (%s), reused %" PRIu64 " %s (%s)", name,
                       result->fetched_files, output_plural(result->fetched_files, "file", "files"),
                       output_bytes((double)result->fetched_bytes, fetched), result->reused_files,
                       output_plural(result->reused_files, "file", "files"),
                       output_bytes((double)result->reused_bytes, reused));
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct filling *filling = context;
    output_warning(filling->options, path, text);
}

static bool is_interrupted(const struct filling *filling, const struct pkgcache_result *result)
{
    return filling->interruption && result->status == PKGCACHE_FAILED && result->reason &&
           strcmp(result->reason, filling->interruption) == 0;
}

static struct summary summarise(const struct filling *filling)
{
    struct summary summary = {.seconds = filling->seconds};
    for (size_t i = 0; i < filling->sources->variants.count; i++) {
        const struct pkgcache_result *result = &filling->results[i];
        if (policy_is(&filling->sources->variants.items[i], result)) {
            summary.not_cachable++;
            continue;
        }
        if (is_interrupted(filling, result)) {
            summary.interrupted++;
            continue;
        }
        summary.counts[result->status]++;
        if (result->status == PKGCACHE_CREATED)
            figures_sum_copied(&summary.copied, result);
    }
    return summary;
}

static cJSON *build_result(const struct filling *filling, size_t index)
{
    const struct source_variant *item = &filling->sources->variants.items[index];
    const struct pkgcache_result *result = &filling->results[index];
    cJSON *object = cJSON_CreateObject();
    if (item->handle)
        handle_add_json(object, "handle", item->handle);
    else /* as it was named */
        json_add_raw(object, "handle", item->handle_json ? item->handle_json : "null");
    json_add_string(object, "status",
                    policy_is(item, result)           ? "not_cachable"
                    : is_interrupted(filling, result) ? "interrupted"
                                                      : result_word(result->status));
    json_add_string(object, "root", result->root);
    json_add_string(object, "reason", result->reason);
    if (result->status == PKGCACHE_CREATED)
        figures_add_copied(object, result);
    warnings_add_json(object, result);
    return object;
}

static cJSON *build_summary(const struct summary *summary, size_t variants)
{
    static const struct {
        const char *key;
        enum pkgcache_status status;
    } keys[] = {
        {"created", PKGCACHE_CREATED}, {"found", PKGCACHE_FOUND},
        {"copying", PKGCACHE_COPYING}, {"stalled", PKGCACHE_COPY_STALLED},
        {"skipped", PKGCACHE_SKIPPED}, {"failed", PKGCACHE_FAILED},
    };
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "variants", variants);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        json_add_unsigned(object, keys[i].key, summary->counts[keys[i].status]);
    json_add_unsigned(object, "not_cachable", summary->not_cachable);
    json_add_unsigned(object, "interrupted", summary->interrupted);
    figures_add_copied(object, &summary->copied);
    json_add_decimal(object, "seconds", summary->seconds, 3);
    return object;
}

struct report {
    const struct filling *filling;
    const struct summary *summary;
};

/* Prints the summary, and the result of each variant, as one document. Returns 0 or -ENOMEM. */
static int print_document(FILE *file, const void *context)
{
    const struct report *report = context;
    const struct filling *filling = report->filling;
    struct json_stream stream = {.file = file};
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream,
                            build_summary(report->summary, filling->sources->variants.count));
    json_stream_open(&stream, "results", '[');
    for (size_t i = 0; i < filling->sources->variants.count; i++)
        json_stream_add(&stream, build_result(filling, i));
    json_stream_close(&stream, ']');
    json_stream_close(&stream, '}');
    return json_stream_end(&stream);
}

static void print_summary(const struct summary *summary, size_t variants)
{
    char bytes[16];
    char rate[16];
    const struct pkgcache_result *copied = &summary->copied;
    const char *separator = "";
    printf("%zu %s: ", variants, output_plural(variants, "variant", "variants"));
    for (int status = 0; status <= PKGCACHE_FAILED; status++) {
        if (summary->counts[status] == 0)
            continue;
        printf("%s%zu %s", separator, summary->counts[status], result_word(status));
        separator = ", ";
    }
    if (summary->not_cachable > 0) {
        printf("%s%zu not cachable", separator, summary->not_cachable);
        separator = ", ";
    }
    if (summary->interrupted > 0)
        printf("%s%zu left, which the same command copies", separator, summary->interrupted);
    if (summary->counts[PKGCACHE_CREATED] > 0)
        printf("; %" PRIu64 " %s, %s in %.2f s (%s/s)", copied->files,
               output_plural(copied->files, "file", "files"),
               output_bytes((double)copied->bytes, bytes), summary->seconds,
               output_bytes((double)copied->bytes / MAX(summary->seconds, 1e-6), rate));
    if (copied->reused_files > 0)
        printf("; reused %" PRIu64 " %s, %s", copied->reused_files,
               output_plural(copied->reused_files, "file", "files"),
               output_bytes((double)copied->reused_bytes, bytes));
    printf("\n");
}

static void print_reasons(const struct filling *filling)
{
    for (size_t i = 0; i < filling->sources->variants.count; i++) {
        const struct source_variant *variant = &filling->sources->variants.items[i];
        const struct pkgcache_result *result = &filling->results[i];
        if (policy_is(variant, result)) {
            output_verbose(filling->options, "%s: %s", variant->text, result->reason);
            continue;
        }
        bool bad = result->status != PKGCACHE_CREATED && result->status != PKGCACHE_FOUND;
        if (bad && result->reason)
            output_error(filling->options, 0, 0, "%s: %s", variant->text, result->reason);
    }
}

static int exit_code(const struct options *options, const struct summary *summary, size_t variants)
{
    size_t done = summary->counts[PKGCACHE_CREATED] + summary->counts[PKGCACHE_FOUND];
    if (options->no_wait)
        done += summary->counts[PKGCACHE_COPYING];
    return done + summary->not_cachable == variants ? EXIT_DONE
           : done > 0                               ? EXIT_PARTLY
                                                    : EXIT_FAILED;
}

/* Prints, and reports, what became of everything. */
static int conclude(struct filling *filling, int result, const struct pkgcache_error *error)
{
    struct options *options = filling->options;
    struct pkgcache_error rest;
    size_t variants = filling->sources->variants.count;
    filling->interruption = result == -ECANCELED ? error->message : NULL;
    struct summary summary = summarise(filling);
    int code = exit_code(options, &summary, variants);
    int rest_result = result < 0 ? 0 : sources_finish(filling->sources, signals_fd(), &rest);
    if (rest_result == -ECANCELED)
        code = output_exit_code(rest_result);
    else if (rest_result < 0 && code == EXIT_DONE)
        code =
            EXIT_PARTLY; /* each variant was checked by itself: those that are cached are whole */
    progress_clear();
    if (result < 0) /* the same reason for all that were not done: said once */
        code = output_error(options, output_exit_code(result), error->code, "%s", error->message);
    else
        print_reasons(filling);
    if (rest_result < 0)
        output_error(options, 0, rest.code, "%s", rest.message);
    const struct report report = {filling, &summary};
    if (report_write(options, print_document, &report) != EXIT_DONE)
        code = code == EXIT_DONE ? EXIT_PARTLY : code; /* what is cached is cached */
    if (report_is_printed(options)) {
        int written = output_end_document(options, print_document(stdout, &report));
        return written == EXIT_DONE ? code : written;
    }
    if (options->verbosity >= 0 && code != EXIT_FAILED && code != EXIT_LOCKED)
        print_summary(&summary, variants); /* where nothing was done, the errors say it all */
    if (options->verbosity >= 0 && variants > 0 && summary.not_cachable == variants)
        policy_explain(&filling->sources->variants);
    return output_end(options, code);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
}

/* The daemon reads no packs: who warms from one does that himself, with his own rights. Returns
 * whether the command ends, since the daemon was required. */
static bool refuse_daemon(struct filling *filling)
{
    if (!daemon_is_required(filling->options))
        return false;
    filling->code = output_error(filling->options, EXIT_FAILED, EPERM,
                                 "the daemon reads no packs: leave --daemon=require out");
    return true;
}

/*
 * Has the daemon do it, if there is one. Variants that others copy are waited for by the daemon, so
 * --no-wait is not its business. Returns whether it did, or the command ends.
 */
static bool ask_daemon(struct filling *filling, const struct pkgcache_warm *warm,
                       struct source_additions *additions, int *ret_result,
                       struct pkgcache_error *error)
{
    struct pkgcache_client *client = NULL;
    if (warm->no_wait)
        return false;
    *ret_result = -ECANCELED;
    if (additions->any_supplied)
        return refuse_daemon(filling);
    filling->code = daemon_connect(filling->options, &client);
    if (filling->code >= 0 || !client)
        return filling->code >= 0;
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(filling->options);
    *ret_result = pkgcache_client_warm(client, warm, additions->results, error);
    pkgcache_client_close(client);
    if (!daemon_is_passed_over(filling->options, *ret_result)) {
        filling->seconds += seconds_since(start_ns);
        return true;
    }
    output_verbose(filling->options, "the daemon is not used: %s", error->message);
    pkgcache_results_free(additions->results, sizeof(*additions->results), additions->count);
    return false;
}

static int warm_here(struct filling *filling, const struct pkgcache_warm *warm,
                     struct source_additions *additions, struct pkgcache_error *error)
{
    const struct warm_extras extras = {.reports_rootless = true, .supplies = additions->supplies};
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(filling->options);
    int result = warm_with(filling->cache, warm, &extras, additions->results, error);
    if (pkgcache_backend_description(filling->cache))
        output_verbose(filling->options, "backend: %s",
                       pkgcache_backend_description(filling->cache));
    filling->seconds += seconds_since(start_ns);
    return result;
}

static int warm_additions(void *context, struct source_additions *additions,
                          struct pkgcache_error *error)
{
    struct filling *filling = context;
    const struct pkgcache_warm warm = {
        .size = sizeof(struct pkgcache_warm),
        .variant_size = sizeof(struct pkgcache_variant),
        .result_size = sizeof(struct pkgcache_result),
        .variants = additions->variants,
        .count = additions->count,
        .no_wait = filling->options->no_wait,
        .cancel_fd = signals_fd(),
        .on_progress = on_progress,
        .on_result = on_result,
        .on_warning = on_warning,
        .context = filling,
    };
    int result;
    filling->additions = additions;
    if (!ask_daemon(filling, &warm, additions, &result, error))
        result = warm_here(filling, &warm, additions, error);
    return result;
}

/* Until now nothing was begun, and an interruption ended the process at once. */
static int warm_all(struct filling *filling)
{
    struct pkgcache_error error = {0};
    interruption_end();
    filling->results = calloc(filling->sources->variants.count + 1, sizeof(*filling->results));
    if (!filling->results)
        return output_error(filling->options, EXIT_FAILED, ENOMEM, "out of memory");
    int result = sources_warm(filling->sources, warm_additions, filling, filling->results, &error);
    return filling->code >= 0 ? filling->code : conclude(filling, result, &error);
}

void fill_make_default_parent(const struct settings *settings)
{
    const struct setting_value *cache = &settings->values[SETTING_CACHE];
    char *slash = cache->text ? strrchr(cache->text, '/') : NULL;
    if (!slash || slash == cache->text || strcmp(cache->origin, SETTINGS_BUILT_IN) != 0)
        return;
    *slash = '\0';
    mkdir(cache->text, S_IRWXU); /* if it fails, opening the cache says why */
    *slash = '/';
}

int fill_cache(struct options *options, struct sources *sources)
{
    struct filling filling = {.options = options, .sources = sources, .code = -1};
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    int code;
    fill_make_default_parent(&options->settings);
    if (pkgcache_open(options->settings.values[SETTING_CACHE].text, &cache_options, true,
                      &filling.cache, &error) < 0 ||
        sources_find_roots(sources, filling.cache, &error) < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    else
        code = warm_all(&filling);
    pkgcache_close(filling.cache);
    if (filling.results)
        pkgcache_results_free(filling.results, sizeof(*filling.results), sources->variants.count);
    free(filling.results);
    return code;
}
