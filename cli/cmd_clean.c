/* pkgcache clean: deletes what is no use any more, and what is too much. */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <inttypes.h>

/* What went, or stayed, as JSON. */
struct array {
    struct text text;
    size_t count;
};

struct cleaned {
    const struct options *options;
    struct array removed;
    struct array kept;
    uint64_t bytes; /* of what went, as far as it was counted */
    size_t failed;
};

static void add(struct array *array, const struct pkgcache_cleaned *item)
{
    text_append_string(&array->text, array->count++ ? ", {\"path\": " : "{\"path\": ");
    output_string(&array->text, item->path);
    text_append_string(&array->text, ", \"reason\": ");
    output_string(&array->text, item->why);
    if (item->bytes == PKGCACHE_NOT_COUNTED)
        text_append_string(&array->text, ", \"bytes\": null}");
    else
        text_printf(&array->text, ", \"bytes\": %" PRIu64 "}", item->bytes);
}

static void on_removed(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    char size[16];
    bool known = item->bytes != PKGCACHE_NOT_COUNTED;
    add(&cleaned->removed, item);
    cleaned->bytes += known ? item->bytes : 0;
    if (!cleaned->options->json && cleaned->options->verbosity >= 0)
        printf("%s %s: %s%s%s\n", cleaned->options->dry_run ? "would delete" : "deleted",
               item->path, item->why, known ? ", " : "",
               known ? output_bytes((double)item->bytes, size) : "");
}

static void on_kept(void *context, const struct pkgcache_cleaned *item)
{
    struct cleaned *cleaned = context;
    add(&cleaned->kept, item);
    if (!cleaned->options->json && cleaned->options->verbosity >= 0)
        printf("kept %s: %s\n", item->path, item->why);
}

static void on_failed(void *context, const char *path, const char *why)
{
    struct cleaned *cleaned = context;
    cleaned->failed++;
    output_error(cleaned->options, EXIT_PARTLY, 0, "could not delete %s: %s", path, why);
}

static int print_document(struct cleaned *cleaned)
{
    CLEANUP_TEXT struct text document = {0};
    text_printf(&document, "{\"dry_run\": %s, \"deleted\": [",
                cleaned->options->dry_run ? "true" : "false");
    text_append(&document, cleaned->removed.text.bytes, cleaned->removed.text.length);
    text_append_string(&document, "], \"kept\": [");
    text_append(&document, cleaned->kept.text.bytes, cleaned->kept.text.length);
    text_printf(&document, "], \"bytes\": %" PRIu64 ", \"failed\": %zu}", cleaned->bytes,
                cleaned->failed);
    if (cleaned->removed.text.error < 0 || cleaned->kept.text.error < 0)
        document.error = -ENOMEM;
    return output_document(cleaned->options, &document);
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
        code = cleaned.removed.count > 0 ? EXIT_PARTLY : EXIT_FAILED;
    else
        code = EXIT_DONE;
    int written = options->json ? print_document(&cleaned) : output_end(options, EXIT_DONE);
    text_free(&cleaned.removed.text);
    text_free(&cleaned.kept.text);
    return code == EXIT_DONE ? written : code;
}
