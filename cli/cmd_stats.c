/* pkgcache stats: what the counters say and what is in the cache; text, JSON or Prometheus. */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/exit.h"
#include "cli/output.h"

#include "cache/utf8.h"

#include <inttypes.h>
#include <string.h>

enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_SECONDS, UNIT_TIME };

/* A number, under all its names. */
struct figure {
    const char *key;    /* in JSON */
    const char *metric; /* Prometheus; a counter's ends in _total */
    const char *text;   /* for people; NULL: it stands in another line */
    const char *help;
    enum unit unit;
    bool is_real;
    uint64_t whole;
    double real;
};

#define WHOLE(key, metric, text, help, unit, value)                  \
    {                                                                \
        key, "pkgcache_" metric, text, help, unit, false, (value), 0 \
    }
#define REAL(key, metric, text, help, unit, value)                  \
    {                                                               \
        key, "pkgcache_" metric, text, help, unit, true, 0, (value) \
    }

enum { FIGURES_MAX = 24 };

static size_t list_figures(const struct pkgcache_stats *stats,
                           struct figure ret[static FIGURES_MAX])
{
    const struct figure figures[] = {
        WHOLE("hits", "hits_total", "hits", "Look-ups that found the variant.", UNIT_COUNT,
              stats->hits),
        WHOLE("misses", "misses_total", "misses", "Look-ups that did not find the variant.",
              UNIT_COUNT, stats->misses),
        WHOLE("waits", "waits_total", "waits",
              "Variants that were waited for while another process copied them.", UNIT_COUNT,
              stats->waits),
        WHOLE("copies", "copies_total", "copies", "Variants that were copied into the cache.",
              UNIT_COUNT, stats->copies),
        WHOLE("files", "copied_files_total", "files copied", "Files that were copied.", UNIT_COUNT,
              stats->files),
        WHOLE("bytes", "copied_bytes_total", "bytes copied", "Bytes that were copied.", UNIT_BYTES,
              stats->bytes),
        REAL("copy_seconds", "copy_seconds_total", "copy time", "Time that copies took.",
             UNIT_SECONDS, stats->copy_seconds),
        REAL("seconds_saved", "saved_seconds", "time saved",
             "Estimate of the time saved: hits, each as long as a copy took on average.",
             UNIT_SECONDS, stats->seconds_saved),
        WHOLE("failures", "failures_total", "failures", "Variants that could not be copied.",
              UNIT_COUNT, stats->failures),
        WHOLE("skipped", "skipped_total", "skipped", "Variants that were refused.", UNIT_COUNT,
              stats->skipped),
        WHOLE("removals", "removals_total", "removals", "Variants that somebody took out.",
              UNIT_COUNT, stats->removals),
        WHOLE("evictions", "evictions_total", "evictions",
              "Variants that clean took out for their age or for room.", UNIT_COUNT,
              stats->evictions),
        WHOLE("cleans", "cleans_total", "cleans", "Runs of clean.", UNIT_COUNT, stats->cleans),
        WHOLE("since", "counting_since_timestamp_seconds", "counting since",
              "When counting began; 0: nothing was counted yet.", UNIT_TIME,
              (uint64_t)stats->since),
        WHOLE("variants", "variants", "variants", "Variants that are cached.", UNIT_COUNT,
              stats->variants),
        WHOLE("stored_files", "stored_files", "files", "Files of cached variants.", UNIT_COUNT,
              stats->stored_files),
        WHOLE("size", "stored_bytes", "size", "Bytes of cached variants.", UNIT_BYTES,
              stats->stored_bytes),
        WHOLE("room", "room_bytes", "room left", "Bytes free on the file system.", UNIT_BYTES,
              stats->room_bytes),
        WHOLE("largest_size", "largest_variant_bytes", NULL, "Bytes of the largest variant.",
              UNIT_BYTES, stats->largest_bytes),
        WHOLE("oldest_used", "oldest_use_timestamp_seconds", NULL,
              "When the variant that was not used for longest was used; 0: none is cached.",
              UNIT_TIME, (uint64_t)MAX(stats->oldest_used.tv_sec, (time_t)0)),
    };
    memcpy(ret, figures, sizeof(figures));
    return ARRAY_LENGTH(figures);
}

static void append_number(struct text *text, const struct figure *figure)
{
    if (figure->is_real)
        text_printf(text, "%.6f", figure->real);
    else
        text_printf(text, "%" PRIu64, figure->whole);
}

static void append_json(struct text *text, const struct pkgcache_stats *stats,
                        const struct figure *figures, size_t count)
{
    text_append_byte(text, '{');
    for (size_t i = 0; i < count; i++) {
        text_printf(text, "\"%s\": ", figures[i].key);
        append_number(text, &figures[i]);
        text_append_string(text, ", ");
    }
    text_append_string(text, "\"largest\": ");
    output_string(text, *stats->largest ? stats->largest : NULL);
    text_append_string(text, ", \"oldest\": ");
    output_string(text, *stats->oldest ? stats->oldest : NULL);
    text_append_string(text, "}\n");
}

/* A label's value: UTF-8, with three escapes. */
static void append_label(struct text *text, const char *value)
{
    size_t length = strlen(value);
    for (size_t at = 0; at < length;) {
        uint32_t code_point;
        size_t used = utf8_decode(value + at, length - at, UTF8_STRICT, &code_point);
        if (used == 0)
            text_append_string(text, "\xef\xbf\xbd"); /* the replacement character */
        else if (value[at] == '\n')
            text_append_string(text, "\\n");
        else if (value[at] == '\\' || value[at] == '"')
            text_printf(text, "\\%c", value[at]);
        else
            text_append(text, value + at, used);
        at += MAX(used, (size_t)1);
    }
}

static void append_prometheus(struct text *text, const char *cache_path,
                              const struct figure *figures, size_t count)
{
    static const char suffix[] = "_total";
    for (size_t i = 0; i < count; i++) {
        const struct figure *figure = &figures[i];
        size_t length = strlen(figure->metric);
        bool counter = length >= sizeof(suffix) &&
                       strcmp(figure->metric + length - (sizeof(suffix) - 1), suffix) == 0;
        text_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s{cache=\"", figure->metric, figure->help,
                    figure->metric, counter ? "counter" : "gauge", figure->metric);
        append_label(text, cache_path);
        text_append_string(text, "\"} ");
        append_number(text, figure);
        text_append_byte(text, '\n');
    }
}

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
        append_number(text, figure);
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
    text_printf(text, "%-15s %s, %s\n", "largest", stats->largest,
                output_bytes((double)stats->largest_bytes, bytes));
    text_printf(text, "%-15s %s, last used ", "oldest", stats->oldest);
    append_time(text, stats->oldest_used.tv_sec);
    text_append_byte(text, '\n');
}

static int print(const struct options *options, const struct pkgcache *cache,
                 const struct pkgcache_stats *stats)
{
    CLEANUP_TEXT struct text text = {0};
    struct figure figures[FIGURES_MAX];
    size_t count = list_figures(stats, figures);
    enum format format = options->format;
    if (format == FORMAT_DEFAULT)
        format = options->json ? FORMAT_JSON : FORMAT_TEXT;
    if (format == FORMAT_JSON)
        append_json(&text, stats, figures, count);
    else if (format == FORMAT_PROMETHEUS)
        append_prometheus(&text, pkgcache_path(cache), figures, count);
    else
        append_text(&text, stats, figures, count);
    if (text.error < 0)
        return output_error(options, EXIT_FAILED, -text.error, "out of memory");
    fwrite(text.bytes, 1, text.length, stdout);
    return output_end(options, EXIT_DONE);
}

int cmd_stats(struct options *options)
{
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    struct pkgcache_stats stats = {.size = sizeof(stats)};
    int code = open_cache(options, &cache);
    if (code < 0 && (pkgcache_stats(cache, &stats, &error) < 0 ||
                     (options->zero && pkgcache_stats_zero(cache, &error) < 0)))
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (code < 0)
        code = print(options, cache, &stats);
    pkgcache_close(cache);
    return code;
}
