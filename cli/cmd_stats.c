/* pkgcache stats: what the counters say and what is in the cache; text, JSON or Prometheus. */
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"

#include "cache/json/visible.h"
#include "cache/store/figures.h"
#include "cache/util/error.h"

#include <string.h>

static void append_time(struct text *text, time_t time)
{
    char date[32] = "never";
    struct tm local;
    if (time > 0 && localtime_r(&time, &local))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
    text_append_string(text, date);
}

static void append_value(struct text *text, const struct pkgcache_stats *stats,
                         const struct figure *figure)
{
    char bytes[16];
    switch (figure->unit) {
    case UNIT_BYTES:
        text_append_string(text, output_bytes((double)figure->whole, bytes));
        break;
    case UNIT_SECONDS:
        text_printf(text, "%.1f s", figure->real);
        break;
    case UNIT_TIME:
        append_time(text, (time_t)figure->whole);
        break;
    case UNIT_COUNT:
        figure_append(text, figure);
        break;
    }
    if (strcmp(figure->key, "hits") == 0 && stats->hits + stats->misses > 0)
        text_printf(text, " (%.1f %%)",
                    100.0 * (double)stats->hits / (double)(stats->hits + stats->misses));
}

static void append_text(struct text *text, const struct pkgcache_stats *stats,
                        const struct figure *figures, size_t count)
{
    char bytes[16];
    for (size_t i = 0; i < count; i++) {
        if (!figures[i].text)
            continue;
        text_printf(text, "%-15s ", figures[i].text);
        append_value(text, stats, &figures[i]);
        text_append_byte(text, '\n');
    }
    if (stats->variants == 0)
        return;
    text_printf(text, "%-15s ", "largest");
    visible_append(text, stats->largest, strlen(stats->largest));
    text_printf(text, ", %s\n%-15s ", output_bytes((double)stats->largest_bytes, bytes), "oldest");
    visible_append(text, stats->oldest, strlen(stats->oldest));
    text_append_string(text, ", last used ");
    append_time(text, stats->oldest_used.tv_sec);
    text_append_byte(text, '\n');
}

static enum format format_of(const struct options *options)
{
    if (options->format == FORMAT_DEFAULT)
        return options->json ? FORMAT_JSON : FORMAT_TEXT;
    return options->format;
}

static int print_text(const struct options *options, const struct text *text)
{
    if (text->error < 0)
        return output_error(options, EXIT_FAILED, -text->error, "out of memory");
    fwrite(text->bytes, 1, text->length, stdout);
    return output_end(options, EXIT_DONE);
}

/* @param cache_path for Prometheus */
static int print(const struct options *options, const char *cache_path,
                 const struct pkgcache_stats *stats)
{
    CLEANUP_TEXT struct text text = {0};
    struct figure figures[FIGURES_MAX];
    size_t count = figures_of_stats(stats, figures);
    enum format format = format_of(options);
    if (format == FORMAT_JSON)
        return output_document(options, figures_build_stats(stats));
    if (format == FORMAT_PROMETHEUS)
        figures_append_prometheus(&text, cache_path, figures, count);
    else
        append_text(&text, stats, figures, count);
    return print_text(options, &text);
}

/* Prints what the daemon answered. Returns an exit code, or -1: it makes no sense. */
static int print_answer(const struct options *options, const char *answer)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_stats stats;
    if (json_parse(answer, strlen(answer), &document, NULL) < 0)
        return -1;
    if (format_of(options) == FORMAT_PROMETHEUS) {
        CLEANUP_TEXT struct text text = {0};
        const struct json *value = json_member(document->root, "text");
        if (!value || value->type != JSON_STRING)
            return -1;
        text_append(&text, value->text, value->text_length);
        return print_text(options, &text);
    }
    const struct json *value = json_member(document->root, "cache");
    return value && figures_read_stats(value, &stats) == 0 ? print(options, NULL, &stats) : -1;
}

/* Asks the daemon, if there is one, and prints that. Returns an exit code, or -1: go on. */
static int ask_daemon(const struct options *options)
{
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    CLEANUP_FREE char *answer = NULL;
    int code = daemon_connect(options, &client);
    if (!client)
        return code;
    int result = pkgcache_client_call(client, "stats",
                                      format_of(options) == FORMAT_PROMETHEUS
                                          ? "{\"format\": \"prometheus\"}"
                                          : "{\"format\": \"json\"}",
                                      &answer, &error);
    pkgcache_client_close(client);
    code = result == 0 ? print_answer(options, answer) : -1;
    if (result == 0 && code < 0)
        result = error_set(&error, EBADMSG, "the daemon's answer is not understood");
    if (code >= 0 || daemon_is_passed_over(options, result))
        return code;
    return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
}

static int count(struct options *options)
{
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    struct pkgcache_stats stats = {.size = sizeof(stats)};
    int code = open_cache(options, &cache);
    if (code < 0 && (pkgcache_stats(cache, &stats, &error) < 0 ||
                     (options->zero && pkgcache_stats_reset(cache, &error) < 0)))
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (code < 0)
        code = print(options, pkgcache_path(cache), &stats);
    pkgcache_close(cache);
    return code;
}

int cmd_stats(struct options *options)
{
    int code = options->zero ? -1 : ask_daemon(options);
    return code < 0 ? count(options) : code;
}
