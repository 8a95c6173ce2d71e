/* Bringing variants into the cache: progress, errors by variant, one summary. */
#include "cli/fill.h"

#include "cache/json/json_stream.h"
#include "cache/pkgcache.h"
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
    const struct sources *sources;
    struct pkgcache_variant *variants;
    struct pkgcache_result *results;
    struct pkgcache_result *all; /* one for each source; those refused included */
    size_t *places;              /* in `all`, of each variant */
    size_t count;
};

/* A variant that was there before is "found" here, and "cached" where one asks for it. */
static const char *result_word(enum pkgcache_status status)
{
    return status == PKGCACHE_FOUND ? "found" : output_status(status);
}

static void on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    progress_show(progress);
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    const struct filling *filling = context;
    const char *name = filling->sources->items[filling->places[index]].text;
    if (result->status == PKGCACHE_FOUND || result->status == PKGCACHE_CREATED)
        output_verbose(filling->options, "%s: %s %s", name, result_word(result->status),
                       result->root ? result->root : "");
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct filling *filling = context;
    output_warning(filling->options, path, text);
}

static int prepare(struct filling *filling)
{
    size_t count = filling->sources->count;
    filling->variants = calloc(count + 1, sizeof(*filling->variants));
    filling->results = calloc(count + 1, sizeof(*filling->results));
    filling->all = calloc(count + 1, sizeof(*filling->all));
    filling->places = calloc(count + 1, sizeof(*filling->places));
    if (!filling->variants || !filling->results || !filling->all || !filling->places)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct source_variant *item = &filling->sources->items[i];
        if (item->reason) {
            filling->all[i] = (struct pkgcache_result){.status = item->is_refused ? PKGCACHE_SKIPPED
                                                                                  : PKGCACHE_FAILED,
                                                       .reason = strdup(item->reason)};
            continue;
        }
        filling->places[filling->count] = i;
        filling->variants[filling->count++] =
            (struct pkgcache_variant){.handle = item->handle,
                                      .root = item->root,
                                      .force = filling->options->force,
                                      .requires_json = item->requires_json};
    }
    return 0;
}

static struct summary summarise(const struct filling *filling, double seconds)
{
    struct summary summary = {.seconds = seconds};
    for (size_t i = 0; i < filling->sources->count; i++) {
        const struct pkgcache_result *result = &filling->all[i];
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
    json_stream_add_members(&stream, build_summary(summary, filling->sources->count));
    json_stream_open(&stream, "results", '[');
    for (size_t i = 0; i < filling->sources->count; i++)
        json_stream_add(&stream, build_result(&filling->sources->items[i], &filling->all[i]));
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
    for (size_t i = 0; i < filling->sources->count; i++) {
        const struct pkgcache_result *result = &filling->all[i];
        bool bad = result->status != PKGCACHE_CREATED && result->status != PKGCACHE_FOUND;
        if (bad && result->reason)
            output_error(filling->options, 0, 0, "%s: %s", filling->sources->items[i].text,
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
static int conclude(struct filling *filling, int result, const struct pkgcache_error *error,
                    double seconds)
{
    struct options *options = filling->options;
    size_t variants = filling->sources->count;
    struct summary summary = summarise(filling, seconds);
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

static struct pkgcache_warm describe(struct filling *filling)
{
    return (struct pkgcache_warm){
        .size = sizeof(struct pkgcache_warm),
        .variants = filling->variants,
        .count = filling->count,
        .no_wait = filling->options->no_wait,
        .cancel_fd = signals_fd(),
        .on_progress = on_progress,
        .on_result = on_result,
        .on_warning = on_warning,
        .context = filling,
    };
}

/* Says what became of all. Returns an exit code. */
static int end(struct filling *filling, int result, const struct pkgcache_error *error,
               uint64_t start_ns)
{
    double seconds = (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
    for (size_t i = 0; i < filling->count; i++)
        filling->all[filling->places[i]] = filling->results[i];
    return conclude(filling, result, error, seconds);
}

/*
 * Has the daemon do it, if there is one. Variants that others copy are waited for by the daemon, so
 * --no-wait is not its business. Returns an exit code, or -1: go on without it.
 */
static int ask_daemon(struct filling *filling)
{
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error = {0};
    struct pkgcache_warm warm = describe(filling);
    if (filling->options->no_wait)
        return -1;
    int code = daemon_connect(filling->options, &client);
    if (code >= 0 || !client)
        return code;
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(filling->options);
    int result = pkgcache_client_warm(client, &warm, filling->results, &error);
    pkgcache_client_close(client);
    if (!daemon_is_passed_over(filling->options, result))
        return end(filling, result, &error, start_ns);
    output_verbose(filling->options, "the daemon is not used: %s", error.message);
    pkgcache_results_free(filling->results, filling->count);
    return -1;
}

static int run(struct filling *filling, struct pkgcache *cache)
{
    struct pkgcache_error error = {0};
    struct pkgcache_warm warm = describe(filling);
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(filling->options);
    int result = pkgcache_warm(cache, &warm, filling->results, &error);
    if (pkgcache_backend_description(cache))
        output_verbose(filling->options, "backend: %s", pkgcache_backend_description(cache));
    return end(filling, result, &error, start_ns);
}

/* Until now nothing was begun, and a signal ended the process at once. */
static int prepare_and_run(struct filling *filling, struct pkgcache *cache)
{
    signals_open();
    if (prepare(filling) < 0)
        return output_error(filling->options, EXIT_FAILED, ENOMEM, "out of memory");
    int code = ask_daemon(filling);
    return code < 0 ? run(filling, cache) : code;
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
    struct filling filling = {.options = options, .sources = sources};
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    int code;
    make_default_parent(&options->settings);
    if (sources_unite(sources) < 0)
        code = output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    else if (pkgcache_open(options->settings.values[SETTING_CACHE].text, &cache_options, true,
                           &cache, &error) < 0 ||
             sources_find(sources, cache, &error) < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    else
        code = prepare_and_run(&filling, cache);
    pkgcache_close(cache);
    pkgcache_results_free(filling.all, filling.all ? sources->count : 0);
    free(filling.variants);
    free(filling.results);
    free(filling.all);
    free(filling.places);
    return code;
}
