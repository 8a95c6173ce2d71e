/* Figures: one table gives each its names and its help. */
#include "cache/figures.h"

#include "cache/json_string.h"

#include <inttypes.h>
#include <string.h>

#define WHOLE(key, metric, text, help, unit, value)                  \
    {                                                                \
        key, "pkgcache_" metric, text, help, unit, false, (value), 0 \
    }
#define REAL(key, metric, text, help, unit, value)                  \
    {                                                               \
        key, "pkgcache_" metric, text, help, unit, true, 0, (value) \
    }

size_t figures_of_stats(const struct pkgcache_stats *stats, struct figure ret[static FIGURES_MAX])
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

void figure_append(struct text *text, const struct figure *figure)
{
    if (figure->is_real)
        text_printf(text, "%.6f", figure->real);
    else
        text_printf(text, "%" PRIu64, figure->whole);
}

static void append_string(struct text *text, const char *string)
{
    if (*string)
        json_write_string(text, string, strlen(string));
    else
        text_append_string(text, "null");
}

void figures_append_stats(struct text *text, const struct pkgcache_stats *stats)
{
    struct figure figures[FIGURES_MAX];
    size_t count = figures_of_stats(stats, figures);
    text_append_byte(text, '{');
    for (size_t i = 0; i < count; i++) {
        text_printf(text, "\"%s\": ", figures[i].key);
        figure_append(text, &figures[i]);
        text_append_string(text, ", ");
    }
    text_append_string(text, "\"largest\": ");
    append_string(text, stats->largest);
    text_append_string(text, ", \"oldest\": ");
    append_string(text, stats->oldest);
    text_append_byte(text, '}');
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

void figures_append_prometheus(struct text *text, const char *cache_path,
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
        figure_append(text, figure);
        text_append_byte(text, '\n');
    }
}
