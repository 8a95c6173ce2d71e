/* Bringing variants into the cache: progress, errors by variant, one summary. */
#include "cli/fill.h"

#include "cache/json/json_stream.h"
#include "cache/warm/run.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* What became of all variants of a run. */
struct summary {
    size_t counts[PKGCACHE_FAILED + 1]; /* by status */
    uint64_t files;
    uint64_t bytes;
    double seconds;
};

struct filling {
    struct options *options;
    struct pkgcache *cache;
    struct sources *sources;
    struct pkgcache_result *results;          /* one for each variant; those refused included */
    const struct source_additions *additions; /* while they are warmed */
    double seconds;                           /* that it took */
    int code;                                 /* the command ends with it; -1: it goes on */
};

/* A variant that was there before is "found" here, and "cached" where one asks for it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : output_status(status);
}

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    progress_show(progress);
    return 0;
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    const struct filling *filling = context;
    const char *name = filling->sources->variants.items[filling->additions->places[index]].text;
    if (result->status == PKGCACHE_FOUND || result->status == PKGCACHE_CREATED)
        output_verbose(filling->options, "%s: %s %s", name, result_word(result->status),
                       result->root ? result->root : "");
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct filling *filling = context;
    output_warning(filling->options, path, text);
}

static struct summary summarise(const struct filling *filling)
{
    struct summary summary = {.seconds = filling->seconds};
    for (size_t i = 0; i < filling->sources->variants.count; i++) {
        const struct pkgcache_result *result = &filling->results[i];
        summary.counts[result->status]++;
        if (result->status == PKGCACHE_CREATED) {
            summary.files += result->files;
            summary.bytes += result->bytes;
        }
    }
    return summary;
}

static cJSON *build_result(const struct source_variant *item, const struct pkgcache_result *result)
{
    cJSON *object = cJSON_CreateObject();
    if (item->handle)
        handle_add_json(object, "handle", item->handle);
    else /* as it was named */
        json_add_raw(object, "handle", item->handle_json ? item->handle_json : "null");
    json_add_string(object, "status", result_word(result->status));
    json_add_string(object, "root", result->root);
    json_add_string(object, "reason", result->reason);
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
    json_add_unsigned(object, "files", summary->files);
    json_add_unsigned(object, "bytes", summary->bytes);
    json_add_decimal(object, "seconds", summary->seconds, 3);
    return object;
}

/* Prints the summary, and the result of each variant, as one document. Returns 0 or -ENOMEM. */
static int print_document(FILE *file, const struct filling *filling, const struct summary *summary)
{
    struct json_stream stream = {.file = file};
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, build_summary(summary, filling->sources->variants.count));
    json_stream_open(&stream, "results", '[');
    for (size_t i = 0; i < filling->sources->variants.count; i++)
        json_stream_add(&stream,
                        build_result(&filling->sources->variants.items[i], &filling->results[i]));
    json_stream_close(&stream, ']');
    json_stream_close(&stream, '}');
    return json_stream_end(&stream);
}

/* Writes the report aside and renames it, so that nobody reads half of one. */
static int write_report(const struct filling *filling, const struct summary *summary)
{
    const char *path = filling->options->report;
    CLEANUP_FREE char *aside = NULL;
    if (asprintf(&aside, "%s.%d.tmp", path, getpid()) < 0)
        return output_error(filling->options, EXIT_FAILED, ENOMEM, "report %s: out of memory",
                            path);
    unlink(aside); /* of a process that was killed, and had our number */
    CLEANUP_FCLOSE FILE *file = fopen(aside, "wxe");
    int result = file ? print_document(file, filling, summary) : -errno;
    if (result == 0 && (fputc('\n', file) < 0 || fflush(file) < 0 || fsync(fileno(file)) < 0 ||
                        rename(aside, path) < 0))
        result = -errno;
    if (result == 0)
        return EXIT_DONE;
    if (file)
        unlink(aside);
    return output_error(filling->options, EXIT_FAILED, -result, "report %s: %s", path,
                        strerror(-result));
}

static void print_summary(const struct summary *summary, size_t variants)
{
    char bytes[16];
    char rate[16];
    const char *separator = "";
    printf("%zu variant%s: ", variants, variants == 1 ? "" : "s");
    for (int status = 0; status <= PKGCACHE_FAILED; status++) {
        if (summary->counts[status] == 0)
            continue;
        printf("%s%zu %s", separator, summary->counts[status], result_word(status));
        separator = ", ";
    }
    if (summary->counts[PKGCACHE_CREATED] > 0)
        printf("; %" PRIu64 " files, %s in %.2f s (%s/s)", summary->files,
               output_bytes((double)summary->bytes, bytes), summary->seconds,
               output_bytes((double)summary->bytes / MAX(summary->seconds, 1e-6), rate));
    printf("\n");
}

static void print_reasons(const struct filling *filling)
{
    for (size_t i = 0; i < filling->sources->variants.count; i++) {
        const struct pkgcache_result *result = &filling->results[i];
        bool bad = result->status != PKGCACHE_CREATED && result->status != PKGCACHE_FOUND;
        if (bad && result->reason)
            output_error(filling->options, 0, 0, "%s: %s", filling->sources->variants.items[i].text,
                         result->reason);
    }
}

static int exit_code(const struct options *options, const struct summary *summary, size_t variants)
{
    size_t done = summary->counts[PKGCACHE_CREATED] + summary->counts[PKGCACHE_FOUND];
    if (options->no_wait)
        done += summary->counts[PKGCACHE_COPYING];
    return done == variants ? EXIT_DONE : done > 0 ? EXIT_PARTLY : EXIT_FAILED;
}

/* Prints, and reports, what became of everything. */
static int conclude(struct filling *filling, int result, const struct pkgcache_error *error)
{
    struct options *options = filling->options;
    size_t variants = filling->sources->variants.count;
    struct summary summary = summarise(filling);
    int code = exit_code(options, &summary, variants);
    progress_clear();
    if (result < 0) /* the same reason for all that were not done: said once */
        code = output_error(options, output_exit_code(result), error->code, "%s", error->message);
    else
        print_reasons(filling);
    if (options->report && write_report(filling, &summary) != EXIT_DONE)
        code = code == EXIT_DONE ? EXIT_FAILED : code;
    if (options->json) {
        int written = output_end_document(options, print_document(stdout, filling, &summary));
        return written == EXIT_DONE ? code : written;
    }
    if (options->verbosity >= 0 && code != EXIT_FAILED && code != EXIT_LOCKED)
        print_summary(&summary, variants); /* where nothing was done, the errors say it all */
    return output_end(options, code);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
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
    const struct warm_extras extras = {.reports_rootless = true};
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

/* Until now nothing was begun, and a signal ended the process at once. */
static int warm_all(struct filling *filling)
{
    struct pkgcache_error error = {0};
    signals_open();
    filling->results = calloc(filling->sources->variants.count + 1, sizeof(*filling->results));
    if (!filling->results)
        return output_error(filling->options, EXIT_FAILED, ENOMEM, "out of memory");
    int result = sources_warm(filling->sources, warm_additions, filling, filling->results, &error);
    return filling->code >= 0 ? filling->code : conclude(filling, result, &error);
}

/*
 * Makes the directory that user caches are in, if the cache is there because nobody said where: the
 * XDG Base Directory Specification asks for that, and for its mode. Elsewhere a missing parent is
 * more likely a disk that is not mounted.
 */
static void make_default_parent(const struct settings *settings)
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
    make_default_parent(&options->settings);
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
