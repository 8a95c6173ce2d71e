/* pkgcache manifest: publishes what variants consist of beside their repositories, and checks it.
 */
#include "cache/json/json_stream.h"
#include "cache/published/published.h"
#include "cache/published/published_way.h"
#include "cache/publishing/publishing.h"
#include "cache/rez/source_packs.h"
#include "cache/rez/sources.h"
#include "cache/store/cache.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/clock.h"

#include <assert.h>
#include <inttypes.h>

/* What became of a variant. */
enum outcome {
    OUTCOME_WRITTEN,
    OUTCOME_SOUND,   /* --check: this and all that follow */
    OUTCOME_DIFFERS, /* from the payload */
    OUTCOME_STALE,   /* older than the payload's root, or the definition */
    OUTCOME_MISSING,
    OUTCOME_DISTRUSTED, /* others could have written it */
    OUTCOME_DAMAGED,
    OUTCOME_FAILED,
    OUTCOME_COUNT,
};

static const char *const outcome_names[] = {
    [OUTCOME_WRITTEN] = "written", [OUTCOME_SOUND] = "sound",
    [OUTCOME_DIFFERS] = "differs", [OUTCOME_STALE] = "stale",
    [OUTCOME_MISSING] = "missing", [OUTCOME_DISTRUSTED] = "distrusted",
    [OUTCOME_DAMAGED] = "damaged", [OUTCOME_FAILED] = "failed",
};

struct run {
    struct options *options;
    struct sources sources;
    struct rules rules;
    struct publishing publishing;
    struct pkgcache_progress progress; /* of those that are complete, and in all */
    struct json_stream *stream;        /* NULL: not for programs */
    const char *root;                  /* of the variant under way */
    size_t counts[OUTCOME_COUNT];
};

static void on_progress(void *context, const struct copyengine_progress *progress)
{
    const struct run *run = context;
    struct pkgcache_progress all = run->progress;
    all.files += progress->files;
    all.bytes += progress->bytes;
    progress_show(&all, run->root);
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct run *run = context;
    output_warning(run->options, path, text);
}

/* --- One variant ----------------------------------------------------------------------------- */

/* Names a path that differs. */
static void on_difference(void *context, const char *path, const char *what)
{
    const struct run *run = context;
    progress_clear();
    if (!run->options->json && run->options->verbosity >= 0)
        output_line("%s/%s %s", run->root, path, what);
}

static enum outcome outcome_of(int code)
{
    switch (code) {
    case ENOENT:
        return OUTCOME_MISSING;
    case EPERM:
        return OUTCOME_DISTRUSTED;
    case ESTALE:
        return OUTCOME_STALE;
    case EBADMSG:
        return OUTCOME_DAMAGED;
    default:
        return OUTCOME_FAILED;
    }
}

/* Reads the payload, and compares what is published with that. */
static enum outcome compare(struct run *run, const struct source_variant *variant,
                            const struct published *published, struct publishing_manifest *manifest,
                            struct pkgcache_error *error)
{
    uint64_t differences = 0;
    if (publishing_make(&run->publishing, variant->handle, variant->root, manifest, error) < 0)
        return OUTCOME_FAILED;
    int result = publishing_compare(published_pack(published), manifest, on_difference, run,
                                    &differences, error);
    if (result < 0)
        return outcome_of(-result);
    if (differences == 0)
        return OUTCOME_SOUND;
    error_set(error, EBADMSG, "%s: %" PRIu64 " %s from the payload: run pkgcache manifest again",
              published_path(published), differences,
              output_plural(differences, "entry differs", "entries differ"));
    return OUTCOME_DIFFERS;
}

static enum outcome check(struct run *run, const struct source_variant *variant,
                          struct publishing_manifest *manifest, struct pkgcache_error *error)
{
    struct published *published = NULL;
    if (published_open(variant->handle, variant->root, &published, error) <= 0)
        return outcome_of(error->code);
    assert(published);
    enum outcome outcome = compare(run, variant, published, manifest, error);
    published_close(published);
    return outcome;
}

/* Asks before all is read whether it would be for nothing. */
static int check_place(const struct source_variant *variant, struct pkgcache_error *error)
{
    struct stat root;
    if (stat(variant->root, &root) < 0)
        return error_set(error, errno, "%s: %s", variant->root, strerror(errno));
    return publishing_check_place(variant->handle, &root, error);
}

/* Makes a manifest, puts it into its place, and opens it as every warm will. */
static enum outcome publish(struct run *run, const struct source_variant *variant,
                            struct publishing_manifest *manifest, struct pkgcache_error *error)
{
    struct published *published = NULL;
    if (check_place(variant, error) < 0 ||
        publishing_make(&run->publishing, variant->handle, variant->root, manifest, error) < 0)
        return OUTCOME_FAILED;
    interruption_hold();
    int result = publishing_place(variant->handle, manifest, error);
    interruption_release();
    if (result < 0)
        return OUTCOME_FAILED;
    result = published_open(variant->handle, variant->root, &published, error);
    published_close(published);
    return result == 1 ? OUTCOME_WRITTEN : OUTCOME_FAILED;
}

static enum outcome handle_variant(struct run *run, const struct source_variant *variant,
                                   struct publishing_manifest *manifest,
                                   struct pkgcache_error *error)
{
    if (variant->reason) {
        error_set(error, variant->code ? variant->code : EINVAL, "%s", variant->reason);
        return OUTCOME_FAILED;
    }
    return run->options->check ? check(run, variant, manifest, error)
                               : publish(run, variant, manifest, error);
}

static void report(const struct run *run, const struct source_variant *variant,
                   enum outcome outcome, const struct publishing_manifest *manifest,
                   const struct pkgcache_error *error)
{
    bool fine = outcome == OUTCOME_WRITTEN || outcome == OUTCOME_SOUND;
    CLEANUP_FREE char *path = variant->handle ? published_way_path(variant->handle) : NULL;
    progress_clear();
    if (!fine)
        output_error(run->options, 0, error->code, "%s: %s", variant->text, error->message);
    else
        output_verbose(run->options, "%s: %s: %" PRIu64 " entries", path ? path : variant->text,
                       outcome_names[outcome], manifest->head.variant.entry_count);
    if (!run->stream)
        return;
    cJSON *object = cJSON_CreateObject();
    if (variant->handle)
        handle_add_json(object, "handle", variant->handle);
    json_add_string(object, "status", outcome_names[outcome]);
    json_add_string(object, "root", variant->root);
    json_add_string(object, "manifest", path);
    json_add_unsigned(object, "entries", manifest->head.variant.entry_count);
    json_add_unsigned(object, "files", manifest->head.variant.file_count);
    json_add_unsigned(object, "bytes", manifest->head.variant.bytes);
    json_add_string(object, "reason", fine ? NULL : error->message);
    json_stream_add(run->stream, object);
}

static void do_variant(struct run *run, const struct source_variant *variant)
{
    struct publishing_manifest manifest = PUBLISHING_MANIFEST_INIT;
    struct pkgcache_error error = {0};
    run->root = variant->root;
    enum outcome outcome = handle_variant(run, variant, &manifest, &error);
    report(run, variant, outcome, &manifest, &error);
    run->counts[outcome]++;
    run->progress.variants_done++;
    run->progress.files += manifest.head.variant.file_count;
    run->progress.bytes += manifest.head.variant.bytes;
    publishing_free(&manifest);
}

/* --- All of them ----------------------------------------------------------------------------- */

static int find_variants(struct run *run, struct rezconfig *config)
{
    struct options *options = run->options;
    struct pkgcache_error error;
    if (sources_open(&run->sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (sources_read(&run->sources, (const char *const *)options->arguments,
                     (size_t)options->argument_count, &error) < 0 ||
        sources_find_roots(&run->sources, NULL, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    sources_close(&run->sources);
    return run->sources.variants.count > 0
               ? -1
               : output_error(options, EXIT_FAILED, ENOENT, "no variant was named");
}

/* The names that a definition may have, with their ends. Returns them, allocated with their
 * strings behind them; NULL: no memory. */
static const char **make_definition_names(const struct rules *rules, size_t *ret_count)
{
    static char *const built_in[] = {"package"};
    char *const *names = rules->name_count > 0 ? rules->names : built_in;
    size_t count = MIN(MAX(rules->name_count, (size_t)1), (size_t)PUBLISHED_DEFINITIONS_MAX / 2);
    size_t bytes = 2 * count * sizeof(char *);
    for (size_t i = 0; i < count; i++)
        bytes += 2 * strlen(names[i]) + sizeof(".py") + sizeof(".yaml");
    const char **list = malloc(bytes);
    if (!list)
        return NULL;
    char *at = (char *)(list + 2 * count);
    for (size_t i = 0; i < 2 * count; i++) {
        list[i] = at;
        at += sprintf(at, "%s%s", names[i / 2], i % 2 ? ".yaml" : ".py") + 1;
    }
    *ret_count = 2 * count;
    return list;
}

static void print_summary(const struct run *run, double seconds)
{
    char bytes[16];
    const size_t *counts = run->counts;
    size_t fine = counts[OUTCOME_WRITTEN] + counts[OUTCOME_SOUND];
    if (run->options->verbosity < 0)
        return;
    output_line("%zu of %zu %s %s, %" PRIu64 " %s, %s in %.2f s", fine, run->sources.variants.count,
                output_plural(run->sources.variants.count, "manifest", "manifests"),
                run->options->check ? "sound" : "written", run->progress.files,
                output_plural(run->progress.files, "file", "files"),
                output_bytes((double)run->progress.bytes, bytes), seconds);
}

static cJSON *build_summary(const struct run *run, double seconds)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "variants", run->sources.variants.count);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        json_add_unsigned(object, outcome_names[i], run->counts[i]);
    json_add_unsigned(object, "files", run->progress.files);
    json_add_unsigned(object, "bytes", run->progress.bytes);
    json_add_decimal(object, "seconds", seconds, 3);
    return object;
}

static int exit_code(const struct run *run)
{
    size_t count = run->sources.variants.count;
    if (run->counts[OUTCOME_WRITTEN] + run->counts[OUTCOME_SOUND] == count)
        return EXIT_DONE;
    return run->counts[OUTCOME_FAILED] == count ? EXIT_FAILED : EXIT_PARTLY;
}

static int do_all(struct run *run)
{
    struct options *options = run->options;
    struct json_stream stream = {.file = stdout};
    uint64_t start_ns = clock_monotonic_ns();
    if (options->json) {
        run->stream = &stream;
        json_stream_open(&stream, NULL, '{');
        json_stream_open(&stream, "results", '[');
    }
    run->progress.variants = run->sources.variants.count;
    progress_start(options);
    for (size_t i = 0; i < run->sources.variants.count; i++)
        do_variant(run, &run->sources.variants.items[i]);
    progress_clear();
    run->stream = NULL;
    double seconds = (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
    int code = exit_code(run);
    if (!options->json) {
        print_summary(run, seconds);
        return output_end(options, code);
    }
    json_stream_close(&stream, ']');
    json_stream_add_members(&stream, build_summary(run, seconds));
    json_stream_close(&stream, '}');
    int written = output_end_document(options, json_stream_end(&stream));
    return written == EXIT_DONE ? code : written;
}

static int start_engine(struct run *run)
{
    struct pkgcache_options settings = settings_cache_options(&run->options->settings);
    struct copyengine_options engine_options = cache_engine_options(&settings);
    struct copyengine_error error;
    int result = copyengine_new(&engine_options, &run->publishing.engine, &error);
    if (result < 0)
        return output_error(run->options, EXIT_FAILED, -result, "cannot start the copy engine: %s",
                            error.explanation ? error.explanation : strerror(-result));
    output_verbose(run->options, "backend: %s",
                   copyengine_backend_description(run->publishing.engine));
    return -1;
}

static int run_all(struct run *run)
{
    struct options *options = run->options;
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    if (settings_rez(&options->settings, &config) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (rules_read_names(config, &run->rules, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    const char **names = make_definition_names(&run->rules, &run->publishing.definition_count);
    CLEANUP_FREE const char **freed = names;
    if (!names)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    run->publishing.definitions = names;
    int code = find_variants(run, config);
    if (code >= 0)
        return code;
    code = start_engine(run);
    return code >= 0 ? code : do_all(run);
}

int cmd_manifest(struct options *options)
{
    struct run run = {
        .options = options,
        /* What is not cachable here may be so elsewhere; directories can be nothing else. */
        .sources = {.force = true, .names = {.all = true, .archives = &source_packs_refused}},
        .publishing = {.on_progress = on_progress, .on_warning = on_warning},
    };
    run.publishing.context = &run;
    /* All files under way have no name, but for a moment. */
    interruption_begin(options,
                       "interrupted: manifests that were written stay, no other was touched");
    int code = run_all(&run);
    copyengine_free(run.publishing.engine);
    sources_free(&run.sources);
    rules_free(&run.rules);
    return code;
}
