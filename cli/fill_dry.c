/* warm --dry-run: looks up all, and copies nothing. */
#include "cli/fill_dry.h"

#include "cache/json/json_stream.h"
#include "cache/store/lookup.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/policy.h"
#include "cli/report.h"

#include <stdio.h>

enum fate { TO_COPY, FOUND, NOT_CACHABLE, FAILED, FATE_COUNT };

static const char *const fates[FATE_COUNT] = {"to copy", "found", "not cachable", "failed"};
static const char *const keys[FATE_COUNT] = {"to_copy", "found", "not_cachable", "failed"};

static enum fate find_fate(const struct source_variant *variant, const struct pkgcache *cache)
{
    if (variant->reason)
        return variant->is_policy && variant->is_refused ? NOT_CACHABLE : FAILED;
    return cache && slot_is_cached(cache, variant->handle) ? FOUND : TO_COPY;
}

static cJSON *build_result(const struct source_variant *variant, enum fate fate)
{
    cJSON *object = cJSON_CreateObject();
    if (variant->handle)
        handle_add_json(object, "handle", variant->handle);
    else
        json_add_raw(object, "handle", variant->handle_json ? variant->handle_json : "null");
    json_add_string(object, "status", fates[fate]);
    json_add_string(object, "root", variant->root);
    json_add_string(object, "reason", variant->reason);
    return object;
}

static void print_variant(const struct options *options, const struct source_variant *variant,
                          enum fate fate)
{
    if (fate == FAILED)
        output_error(options, 0, variant->code, "%s: %s", variant->text, variant->reason);
    else if (fate == NOT_CACHABLE)
        output_verbose(options, "%s: %s", variant->text, variant->reason);
    else if (fate == FOUND)
        output_verbose(options, "%s: found", variant->text);
    else if (options->verbosity >= 0 && !report_is_printed(options))
        output_line("would copy %s from %s", variant->text,
                    variant->root ? variant->root : "a pack");
}

struct dry_report {
    const struct sources *sources;
    const struct pkgcache *cache;
    size_t counts[FATE_COUNT];
};

static int print_document(FILE *file, const void *context)
{
    const struct dry_report *report = context;
    const struct source_variants *variants = &report->sources->variants;
    struct json_stream stream = {.file = file};
    cJSON *members = cJSON_CreateObject();
    json_add_boolean(members, "dry_run", true);
    json_add_unsigned(members, "variants", variants->count);
    for (int fate = 0; fate < FATE_COUNT; fate++)
        json_add_unsigned(members, keys[fate], report->counts[fate]);
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, members);
    json_stream_open(&stream, "results", '[');
    for (size_t i = 0; i < variants->count; i++)
        json_stream_add(&stream, build_result(&variants->items[i],
                                              find_fate(&variants->items[i], report->cache)));
    json_stream_close(&stream, ']');
    json_stream_close(&stream, '}');
    return json_stream_end(&stream);
}

static void print_summary(const struct sources *sources, const size_t counts[static FATE_COUNT])
{
    size_t all = sources->variants.count;
    printf("%zu %s", all, output_plural(all, "variant", "variants"));
    const char *separator = ": ";
    for (int fate = 0; fate < FATE_COUNT; fate++) {
        if (counts[fate] == 0)
            continue;
        printf("%s%zu %s", separator, counts[fate], fates[fate]);
        separator = ", ";
    }
    printf("\n");
}

static int show(const struct options *options, const struct sources *sources,
                const struct pkgcache *cache)
{
    struct dry_report report = {.sources = sources, .cache = cache};
    bool printed = report_is_printed(options);
    for (size_t i = 0; i < sources->variants.count; i++) {
        enum fate fate = find_fate(&sources->variants.items[i], cache);
        report.counts[fate]++;
        print_variant(options, &sources->variants.items[i], fate);
    }
    int code = report.counts[FAILED] == 0                        ? EXIT_DONE
               : report.counts[FAILED] < sources->variants.count ? EXIT_PARTLY
                                                                 : EXIT_FAILED;
    if (report_write(options, print_document, &report) != EXIT_DONE && code == EXIT_DONE)
        code = EXIT_PARTLY;
    if (!printed && options->verbosity >= 0)
        print_summary(sources, report.counts);
    if (options->verbosity >= 0 && !printed && report.counts[NOT_CACHABLE] > 0 &&
        report.counts[NOT_CACHABLE] == sources->variants.count)
        policy_explain(&sources->variants);
    int written = printed ? output_end_document(options, print_document(stdout, &report))
                          : output_end(options, EXIT_DONE);
    return written == EXIT_DONE ? code : written;
}

int fill_dry(const struct options *options, struct sources *sources)
{
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    int result = pkgcache_open(options->settings.values[SETTING_CACHE].text, &cache_options, false,
                               &cache, &error);
    if (result == -ENOENT) /* it would be made */
        result = 0;
    if (result == 0)
        result = sources_find_roots(sources, cache, &error);
    if (result < 0) {
        pkgcache_close(cache);
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    }
    int rest_result = sources_finish(sources, -1, &error);
    if (rest_result < 0)
        output_error(options, 0, error.code, "%s", error.message);
    int code = show(options, sources, cache);
    if (rest_result < 0 && code == EXIT_DONE)
        code = EXIT_PARTLY;
    pkgcache_close(cache);
    return code;
}
