/* pkgcache clean: deletes what is no use any more. */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/signals.h"

struct cleaned {
    const struct options *options;
    struct text document;
    size_t removed;
    size_t failed;
};

static void on_removed(void *context, const char *path, const char *why)
{
    struct cleaned *cleaned = context;
    text_append_string(&cleaned->document, cleaned->removed ? ", {\"path\": " : "{\"path\": ");
    output_string(&cleaned->document, path);
    text_append_string(&cleaned->document, ", \"reason\": ");
    output_string(&cleaned->document, why);
    text_append_byte(&cleaned->document, '}');
    cleaned->removed++;
    if (!cleaned->options->json && cleaned->options->verbosity >= 0)
        printf("%s %s: %s\n", cleaned->options->dry_run ? "would delete" : "deleted", path, why);
}

static void on_failed(void *context, const char *path, const char *why)
{
    struct cleaned *cleaned = context;
    cleaned->failed++;
    output_error(cleaned->options, EXIT_PARTLY, 0, "could not delete %s: %s", path, why);
}

int cmd_clean(struct options *options)
{
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    struct cleaned cleaned = {.options = options};
    int code = open_cache(options, &cache);
    if (code >= 0)
        return code;
    struct pkgcache_clean clean = {
        .size = sizeof(clean),
        .time_limit_s = options->time_limit_s,
        .dry_run = options->dry_run,
        .cancel_fd = signals_open(),
        .on_removed = on_removed,
        .on_failed = on_failed,
        .context = &cleaned,
    };
    text_printf(&cleaned.document, "{\"dry_run\": %s, \"deleted\": [",
                options->dry_run ? "true" : "false");
    int result = pkgcache_clean(cache, &clean, &error);
    pkgcache_close(cache);
    if (result < 0)
        code = output_error(options, output_exit_code(result), error.code, "%s", error.message);
    else if (cleaned.failed > 0)
        code = cleaned.removed > 0 ? EXIT_PARTLY : EXIT_FAILED;
    else
        code = EXIT_DONE;
    text_printf(&cleaned.document, "], \"failed\": %zu}", cleaned.failed);
    int written = options->json ? output_document(options, &cleaned.document)
                                : output_end(options, EXIT_DONE);
    text_free(&cleaned.document);
    return code == EXIT_DONE ? written : code;
}
