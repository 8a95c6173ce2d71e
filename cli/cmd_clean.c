/* pkgcache clean: deletes what is no use any more, and what is too much. */
#include "cache/json/json_stream.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/signals.h"

struct cleaned {
    const struct options *options;
    struct json_stream removed; /* --json */
    struct json_stream kept;    /* --json */
    uint64_t bytes;             /* of what went, as far as it was counted */
    size_t removed_count;
    size_t failed;
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
    return object;
}

static void on_removed(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    char size[16];
    bool known = item->bytes != PKGCACHE_NOT_COUNTED;
    cleaned->removed_count++;
    cleaned->bytes += known ? item->bytes : 0;
    if (cleaned->options->json)
        json_stream_add(&cleaned->removed, build_item(item));
    else if (cleaned->options->verbosity >= 0)
        printf("%s %s: %s%s%s\n", cleaned->options->dry_run ? "would delete" : "deleted",
               item->path, item->why, known ? ", " : "",
               known ? output_bytes((double)item->bytes, size) : "");
}

static void on_kept(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    if (cleaned->options->json)
        json_stream_add(&cleaned->kept, build_item(item));
    else if (cleaned->options->verbosity >= 0)
        printf("kept %s: %s\n", item->path, item->why);
}

static void on_failed(void *context, const char *path, const char *why)
{
    struct cleaned *cleaned = context;
    cleaned->failed++;
    output_error(cleaned->options, EXIT_PARTLY, 0, "could not delete %s: %s", path, why);
}

static int print_document(const struct cleaned *cleaned)
{
    struct json_stream stream = {.file = stdout};
    cJSON *before = cJSON_CreateObject();
    cJSON *after = cJSON_CreateObject();
    json_add_boolean(before, "dry_run", cleaned->options->dry_run);
    json_add_unsigned(after, "bytes", cleaned->bytes);
    json_add_unsigned(after, "failed", cleaned->failed);
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
    int written = options->json ? print_document(&cleaned) : output_end(options, EXIT_DONE);
    json_stream_end(&cleaned.removed);
    json_stream_end(&cleaned.kept);
    return code == EXIT_DONE ? written : code;
}
