/* pkgcache verify: reads payloads again, compares them with their digests, repairs them. */
#include "cache/json/json_stream.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <inttypes.h>
#include <string.h>

enum { DIFFERENCES_SHOWN = 10 }; /* of one payload, as text; -v: all */

struct verifying {
    const struct options *options;
    struct json_stream results;     /* --json */
    struct json_stream differences; /* --json */
    char *root;                     /* of the payload whose differences are shown */
    uint64_t shown;
};

static const char *verdict_word(enum pkgcache_verdict verdict)
{
    static const char *const words[] = {
        [PKGCACHE_VERDICT_SOUND] = "sound",     [PKGCACHE_VERDICT_DIGESTED] = "digested",
        [PKGCACHE_VERDICT_DAMAGED] = "damaged", [PKGCACHE_VERDICT_REPAIRED] = "repaired",
        [PKGCACHE_VERDICT_GONE] = "missing",    [PKGCACHE_VERDICT_UNKNOWN] = "unknown",
    };
    return words[verdict];
}

static size_t count_of(const struct pkgcache_verify_summary *summary, enum pkgcache_verdict verdict)
{
    const size_t counts[] = {
        [PKGCACHE_VERDICT_SOUND] = summary->sound,
        [PKGCACHE_VERDICT_DIGESTED] = summary->digested,
        [PKGCACHE_VERDICT_DAMAGED] = summary->damaged,
        [PKGCACHE_VERDICT_REPAIRED] = summary->repaired,
        [PKGCACHE_VERDICT_GONE] = summary->gone,
        [PKGCACHE_VERDICT_UNKNOWN] = summary->unknown,
    };
    return counts[verdict];
}

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    progress_show(progress, NULL);
    return 0;
}

static cJSON *build_difference(const char *root, const char *path,
                               enum pkgcache_difference difference)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "root", root);
    json_add_string(object, "path", path);
    json_add_string(object, "difference", pkgcache_difference_text(difference));
    return object;
}

static void on_difference(void *context, const char *root, const char *path,
                          enum pkgcache_difference difference)
{
    struct verifying *verifying = context;
    const struct options *options = verifying->options;
    if (options->json) {
        json_stream_add(&verifying->differences, build_difference(root, path, difference));
        return;
    }
    if (!verifying->root || strcmp(verifying->root, root) != 0) {
        free(verifying->root);
        verifying->root = strdup(root);
        verifying->shown = 0;
    }
    if (verifying->shown++ < DIFFERENCES_SHOWN || options->verbosity > 0)
        output_error(options, 0, 0, "%s/%s: %s", root, path, pkgcache_difference_text(difference));
}

static cJSON *build_result(const struct pkgcache_verified *result)
{
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", result->handle);
    json_add_string(object, "status", verdict_word(result->verdict));
    json_add_string(object, "root", result->root);
    json_add_string(object, "reason", result->reason);
    json_add_unsigned(object, "differences", result->differences);
    return object;
}

static void on_result(void *context, const struct pkgcache_verified *result)
{
    struct verifying *verifying = context;
    const struct options *options = verifying->options;
    bool bad =
        result->verdict != PKGCACHE_VERDICT_SOUND && result->verdict != PKGCACHE_VERDICT_DIGESTED;
    const char *why = result->reason;
    if (!why && result->verdict == PKGCACHE_VERDICT_DAMAGED && !options->repair)
        why = "pkgcache verify --repair copies it again";
    if (options->json)
        json_stream_add(&verifying->results, build_result(result));
    if (result->verdict == PKGCACHE_VERDICT_GONE)
        return;
    if (bad && !options->json && result->verdict != PKGCACHE_VERDICT_REPAIRED)
        output_error(options, 0, 0, "%s: %s, %" PRIu64 " %s%s%s", result->root,
                     verdict_word(result->verdict), result->differences,
                     output_plural(result->differences, "difference", "differences"),
                     why ? ": " : "", why ? why : "");
    else
        output_verbose(options, "%s: %s", result->root, verdict_word(result->verdict));
}

static cJSON *build_summary(const struct pkgcache_verify_summary *summary, double seconds)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "variants", summary->variants);
    for (int verdict = 0; verdict <= PKGCACHE_VERDICT_UNKNOWN; verdict++)
        json_add_unsigned(object, verdict_word(verdict), count_of(summary, verdict));
    json_add_unsigned(object, "files", summary->files);
    json_add_unsigned(object, "bytes", summary->bytes);
    json_add_decimal(object, "seconds", seconds, 3);
    return object;
}

static int print_document(const struct verifying *verifying,
                          const struct pkgcache_verify_summary *summary, double seconds)
{
    struct json_stream stream = {.file = stdout};
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, build_summary(summary, seconds));
    json_stream_open(&stream, "differences", '[');
    json_stream_add_elements(&stream, &verifying->differences);
    json_stream_close(&stream, ']');
    json_stream_open(&stream, "results", '[');
    json_stream_add_elements(&stream, &verifying->results);
    json_stream_close(&stream, ']');
    json_stream_close(&stream, '}');
    return output_end_document(verifying->options, json_stream_end(&stream));
}

static void print_summary(const struct pkgcache_verify_summary *summary, double seconds)
{
    char bytes[16];
    char rate[16];
    const char *separator = "";
    printf("%zu %s: ", summary->variants, output_plural(summary->variants, "variant", "variants"));
    for (int verdict = 0; verdict <= PKGCACHE_VERDICT_UNKNOWN; verdict++) {
        size_t count = count_of(summary, verdict);
        if (count == 0)
            continue;
        printf("%s%zu %s", separator, count, verdict_word(verdict));
        separator = ", ";
    }
    printf("%s%" PRIu64 " %s, %s read in %.2f s (%s/s)\n", *separator ? "; " : "", summary->files,
           output_plural(summary->files, "file", "files"),
           output_bytes((double)summary->bytes, bytes), seconds,
           output_bytes((double)summary->bytes / MAX(seconds, 1e-6), rate));
}

static int exit_code(const struct options *options, const struct pkgcache_verify_summary *summary)
{
    if (summary->damaged + summary->unknown > 0)
        return EXIT_PARTLY;
    /* what was asked for by name; of all that there are, some may go meanwhile */
    return options->argument_count > 0 && summary->gone > 0 ? EXIT_MISSING : EXIT_DONE;
}

static int conclude(struct verifying *verifying, int result, const struct pkgcache_error *error,
                    const struct pkgcache_verify_summary *summary, double seconds)
{
    const struct options *options = verifying->options;
    int code = exit_code(options, summary);
    progress_clear();
    if (result < 0)
        code = output_error(options, output_exit_code(result), error->code, "%s", error->message);
    if (options->json) {
        int written = print_document(verifying, summary, seconds);
        return written == EXIT_DONE ? code : written;
    }
    if (options->verbosity >= 0 && result == 0)
        print_summary(summary, seconds);
    return output_end(options, code);
}

/* What was named as list prints it, and is not cached. Returns how many of them there are. */
static size_t report_missing(struct verifying *verifying, const struct named_variants *named)
{
    size_t missing = 0;
    for (size_t i = 0; i < named->count; i++) {
        if (named->items[i].handle)
            continue;
        missing++;
        if (verifying->options->json)
            json_stream_add(&verifying->results,
                            build_result(&(struct pkgcache_verified){
                                .verdict = PKGCACHE_VERDICT_GONE,
                                .reason = "nothing in the cache is called so"}));
        else
            output_error(verifying->options, 0, 0, "%s: missing", named->items[i].name);
    }
    return missing;
}

/* @param handles of what is named and has one */
static int verify(const struct options *options, const struct named_variants *named,
                  const struct pkgcache_handle *const *handles, size_t count)
{
    struct verifying verifying = {.options = options};
    struct pkgcache_verify_summary summary = {.size = sizeof(summary)};
    struct pkgcache_error error;
    struct pkgcache *cache = named->cache;
    struct pkgcache_verify what = {
        .size = sizeof(what),
        .handles = count > 0 ? handles : NULL,
        .count = count,
        .sample = options->sample,
        .repair = options->repair,
        .cancel_fd = signals_open(),
        .on_progress = on_progress,
        .on_difference = on_difference,
        .on_result = on_result,
        .context = &verifying,
    };
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(options);
    size_t missing = report_missing(&verifying, named);
    int result = 0;
    if (count > 0 || missing == 0)
        result = pkgcache_verify(cache, &what, &summary, &error);
    summary.variants += missing;
    summary.gone += missing;
    double seconds = (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
    if (pkgcache_backend_description(cache))
        output_verbose(options, "backend: %s", pkgcache_backend_description(cache));
    int code = conclude(&verifying, result, &error, &summary, seconds);
    json_stream_end(&verifying.results);
    json_stream_end(&verifying.differences);
    free(verifying.root);
    return code;
}

int cmd_verify(struct options *options)
{
    struct named_variants named;
    int code = named_variants_open(options, &named);
    size_t count = 0;
    CLEANUP_FREE const struct pkgcache_handle **handles = calloc(named.count + 1, sizeof(*handles));
    for (size_t i = 0; handles && i < named.count; i++)
        if (named.items[i].handle)
            handles[count++] = named.items[i].handle;
    if (code < 0)
        code = handles ? verify(options, &named, handles, count)
                       : output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    named_variants_close(&named);
    return code;
}
