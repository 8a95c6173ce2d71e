/* pkgcache clean: deletes what is no use any more, and what is too much. */
#include "cache/json/json_stream.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <inttypes.h>

struct cleaned {
    const struct options *options;
    struct json_stream removed; /* --json */
    struct json_stream kept;    /* --json */
    uint64_t freed_bytes;
    size_t removed_count;
    size_t kept_count;
    size_t failed;
    uint64_t shared_files;
    uint64_t shared_bytes;
};

static cJSON *build_item(const struct pkgcache_cleaned *item)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "path", item->path);
    json_add_string(object, "reason", item->why);
    if (item->bytes == PKGCACHE_NOT_COUNTED)
        json_add_null(object, "bytes");
    else
        json_add_unsigned(object, "bytes", item->bytes);
    json_add_unsigned(object, "freed_bytes", item->freed_bytes);
    return object;
}

static void on_removed(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    char size[16];
    bool known = item->bytes != PKGCACHE_NOT_COUNTED;
    cleaned->removed_count++;
    cleaned->freed_bytes += item->freed_bytes;
    if (cleaned->options->json)
        json_stream_add(&cleaned->removed, build_item(item));
    else if (cleaned->options->verbosity >= 0)
        output_line("%s %s: %s%s%s", cleaned->options->dry_run ? "would delete" : "deleted",
                    item->path, item->why, known ? ", " : "",
                    known ? output_bytes((double)item->bytes, size) : "");
}

static void on_kept(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    cleaned->kept_count++;
    if (cleaned->options->json)
        json_stream_add(&cleaned->kept, build_item(item));
    else if (cleaned->options->verbosity >= 0)
        output_line("kept %s: %s", item->path, item->why);
}

static void on_failed(void *context, const char *path, const char *why)
{
    struct cleaned *cleaned = context;
    cleaned->failed++;
    output_error(cleaned->options, EXIT_PARTLY, 0, "could not delete %s: %s", path, why);
}

static void on_shared(void *context, const struct pkgcache_shared *shared)
{
    struct cleaned *cleaned = context;
    char size[16];
    cleaned->shared_files++;
    cleaned->shared_bytes += shared->bytes;
    if (cleaned->options->verbosity > 0)
        output_verbose(cleaned->options, "%s %s with %s, %s",
                       cleaned->options->dry_run ? "would share" : "shared", shared->path,
                       shared->like, output_bytes((double)shared->bytes, size));
}

static cJSON *build_shared(const struct cleaned *cleaned)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "files", cleaned->shared_files);
    json_add_unsigned(object, "bytes", cleaned->shared_bytes);
    return object;
}

static int print_document(const struct cleaned *cleaned)
{
    struct json_stream stream = {.file = stdout};
    cJSON *before = cJSON_CreateObject();
    cJSON *after = cJSON_CreateObject();
    json_add_boolean(before, "dry_run", cleaned->options->dry_run);
    json_add_unsigned(after, "bytes", cleaned->freed_bytes);
    json_add_unsigned(after, "failed", cleaned->failed);
    if (cleaned->options->share)
        json_add_item(after, "shared", build_shared(cleaned));
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, before);
    json_stream_open(&stream, "deleted", '[');
    json_stream_add_elements(&stream, &cleaned->removed);
    json_stream_close(&stream, ']');
    json_stream_open(&stream, "kept", '[');
    json_stream_add_elements(&stream, &cleaned->kept);
    json_stream_close(&stream, ']');
    json_stream_add_members(&stream, after);
    json_stream_close(&stream, '}');
    return output_end_document(cleaned->options, json_stream_end(&stream));
}

static void print_summary(const struct cleaned *cleaned)
{
    char size[16];
    bool dry_run = cleaned->options->dry_run;
    printf("%s %s; %zu %s, %zu kept, %zu failed\n", dry_run ? "would free" : "freed",
           output_bytes((double)cleaned->freed_bytes, size), cleaned->removed_count,
           dry_run ? "to delete" : "deleted", cleaned->kept_count, cleaned->failed);
    if (cleaned->options->share)
        printf("%s the blocks of %" PRIu64 " %s with equal ones: %s\n",
               dry_run ? "would share" : "shared", cleaned->shared_files,
               cleaned->shared_files == 1 ? "file" : "files",
               output_bytes((double)cleaned->shared_bytes, size));
}

static struct pkgcache_clean clean_options(const struct options *options)
{
    const struct setting_value *settings = options->settings.values;
    const struct setting_value *size = &settings[SETTING_MAX_SIZE];
    return (struct pkgcache_clean){
        .size = sizeof(struct pkgcache_clean),
        .time_limit_s = options->time_limit_s,
        .dry_run = options->dry_run,
        .cancel_fd = signals_open(),
        .on_removed = on_removed,
        .on_kept = on_kept,
        .on_failed = on_failed,
        .max_unused_days = (unsigned)settings[SETTING_MAX_VARIANT_DAYS].number,
        .max_log_days = (unsigned)settings[SETTING_LOG_DAYS].number,
        .max_bytes = size->percent ? 0 : size->number,
        .max_disk_percent = size->percent ? (unsigned)size->number : 0,
        .share = options->share,
        .on_shared = on_shared,
    };
}

int cmd_clean(struct options *options)
{
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    struct cleaned cleaned = {.options = options};
    int code = open_cache(options, &cache);
    if (code >= 0)
        return code;
    struct pkgcache_clean clean = clean_options(options);
    clean.context = &cleaned;
    int result = pkgcache_clean(cache, &clean, &error);
    pkgcache_close(cache);
    if (result < 0)
        code = output_error(options, output_exit_code(result), error.code, "%s", error.message);
    else if (cleaned.failed > 0)
        code = cleaned.removed_count > 0 ? EXIT_PARTLY : EXIT_FAILED;
    else
        code = EXIT_DONE;
    if (!options->json && options->verbosity >= 0)
        print_summary(&cleaned);
    int written = options->json ? print_document(&cleaned) : output_end(options, EXIT_DONE);
    json_stream_end(&cleaned.removed);
    json_stream_end(&cleaned.kept);
    return code == EXIT_DONE ? written : code;
}
