/* Figures: one table gives each its names and its help. */
#include "cache/store/figures.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REAL_DIGITS = 6 }; /* after the point */

/* A figure, and where in the statistics it is: a time_t, seconds as a double, or an uint64_t. */
struct stat_figure {
    struct figure figure;
    size_t place;
};

#define STAT(key, metric, text, help, unit, member)                                \
    {                                                                              \
        {key, "pkgcache_" metric, text, help, unit, (unit) == UNIT_SECONDS, 0, 0}, \
            offsetof(struct pkgcache_stats, member)                                \
    }

static const struct stat_figure stat_figures[] = {
    STAT("hits", "hits_total", "hits", "Look-ups that found the variant.", UNIT_COUNT, hits),
    STAT("misses", "misses_total", "misses", "Look-ups that did not find the variant.", UNIT_COUNT,
         misses),
    STAT("waits", "waits_total", "waits",
         "Variants that had to wait for a copy by another process.", UNIT_COUNT, waits),
    STAT("copies", "copies_total", "copies", "Variants that were copied into the cache.",
         UNIT_COUNT, copies),
    STAT("files", "copied_files_total", "files copied", "Files that were copied.", UNIT_COUNT,
         files),
    STAT("bytes", "copied_bytes_total", "bytes copied", "Bytes that were copied.", UNIT_BYTES,
         bytes),
    STAT("reused_files", "reused_files_total", "files reused",
         "Of the copied files, those whose contents another cached variant had.", UNIT_COUNT,
         reused_files),
    STAT("reused_bytes", "reused_bytes_total", "bytes reused",
         "Of the copied bytes, those that another cached variant had.", UNIT_BYTES, reused_bytes),
    STAT("copy_seconds", "copy_seconds_total", "copy time", "Time spent copying.", UNIT_SECONDS,
         copy_seconds),
    STAT("seconds_saved", "saved_seconds", "time saved",
         "Estimated time saved: hits times the average time of a copy.", UNIT_SECONDS,
         seconds_saved),
    STAT("failures", "failures_total", "failures", "Variants that could not be copied.", UNIT_COUNT,
         failures),
    STAT("skipped", "skipped_total", "skipped", "Variants that were refused.", UNIT_COUNT, skipped),
    STAT("removals", "removals_total", "removals", "Variants that were removed by a command.",
         UNIT_COUNT, removals),
    STAT("evictions", "evictions_total", "evictions",
         "Variants that clean removed because of their age or for space.", UNIT_COUNT, evictions),
    STAT("cleans", "cleans_total", "cleans", "Runs of clean.", UNIT_COUNT, cleans),
    STAT("shared_files", "shared_files_total", "files shared",
         "Files that clean had share the blocks of equal ones.", UNIT_COUNT, shared_files),
    STAT("shared_bytes", "shared_bytes_total", "bytes shared",
         "Bytes that clean gave back to the disk by that.", UNIT_BYTES, shared_bytes),
    STAT("since", "counting_since_timestamp_seconds", "counting since",
         "Time when counting began; 0: nothing was counted yet.", UNIT_TIME, since),
    STAT("variants", "variants", "variants", "Variants that are cached.", UNIT_COUNT, variants),
    STAT("stored_files", "stored_files", "files", "Files of cached variants.", UNIT_COUNT,
         stored_files),
    STAT("size", "stored_bytes", "size", "Bytes of cached variants.", UNIT_BYTES, stored_bytes),
    STAT("room", "room_bytes", "room left", "Bytes free on the file system.", UNIT_BYTES,
         room_bytes),
    STAT("largest_size", "largest_variant_bytes", NULL, "Bytes of the largest variant.", UNIT_BYTES,
         largest_bytes),
    STAT("oldest_used", "oldest_use_timestamp_seconds", NULL,
         "Time of the last use of the least recently used variant; 0: none is cached.", UNIT_TIME,
         oldest_used.tv_sec),
};
static_assert(ARRAY_LENGTH(stat_figures) <= FIGURES_MAX, "there is room for all");

size_t figures_of_stats(const struct pkgcache_stats *stats, struct figure ret[static FIGURES_MAX])
{
    for (size_t i = 0; i < ARRAY_LENGTH(stat_figures); i++) {
        const void *member = (const char *)stats + stat_figures[i].place;
        ret[i] = stat_figures[i].figure;
        if (ret[i].is_real)
            ret[i].real = *(const double *)member;
        else if (ret[i].unit == UNIT_TIME)
            ret[i].whole = (uint64_t)MAX(*(const time_t *)member, (time_t)0);
        else
            ret[i].whole = *(const uint64_t *)member;
    }
    return ARRAY_LENGTH(stat_figures);
}

static int read_name(const struct json *value, char *ret, size_t size)
{
    if (!value || (value->type != JSON_STRING && value->type != JSON_NULL))
        return -EBADMSG;
    snprintf(ret, size, "%s", value->type == JSON_STRING ? value->text : "");
    return 0;
}

static int read_figure(const struct json *value, const struct figure *figure, void *member)
{
    int64_t whole;
    if (!value || (value->type != JSON_INTEGER && value->type != JSON_REAL))
        return -EBADMSG;
    if (figure->is_real) {
        *(double *)member = strtod(value->text, NULL);
        return 0;
    }
    if (json_integer(value, 0, INT64_MAX, &whole) < 0)
        return -EBADMSG;
    if (figure->unit == UNIT_TIME)
        *(time_t *)member = whole;
    else
        *(uint64_t *)member = (uint64_t)whole;
    return 0;
}

int figures_read_stats(const struct json *value, struct pkgcache_stats *ret)
{
    int result = 0;
    *ret = (struct pkgcache_stats){.size = sizeof(*ret)};
    for (size_t i = 0; i < ARRAY_LENGTH(stat_figures) && result == 0; i++)
        result = read_figure(json_member(value, stat_figures[i].figure.key),
                             &stat_figures[i].figure, (char *)ret + stat_figures[i].place);
    if (result == 0)
        result = read_name(json_member(value, "largest"), ret->largest, sizeof(ret->largest));
    if (result == 0)
        result = read_name(json_member(value, "oldest"), ret->oldest, sizeof(ret->oldest));
    return result;
}

void figure_append(struct text *text, const struct figure *figure)
{
    if (figure->is_real)
        text_printf(text, "%.*f", REAL_DIGITS, figure->real);
    else
        text_printf(text, "%" PRIu64, figure->whole);
}

cJSON *figures_build_stats(const struct pkgcache_stats *stats)
{
    struct figure figures[FIGURES_MAX];
    size_t count = figures_of_stats(stats, figures);
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < count; i++)
        if (figures[i].is_real)
            json_add_decimal(object, figures[i].key, figures[i].real, REAL_DIGITS);
        else
            json_add_unsigned(object, figures[i].key, figures[i].whole);
    json_add_string(object, "largest", *stats->largest ? stats->largest : NULL);
    json_add_string(object, "oldest", *stats->oldest ? stats->oldest : NULL);
    return object;
}

void figures_sum_copied(struct pkgcache_result *sum, const struct pkgcache_result *result)
{
    sum->files += result->files;
    sum->bytes += result->bytes;
    sum->fetched_files += result->fetched_files;
    sum->fetched_bytes += result->fetched_bytes;
    sum->reused_files += result->reused_files;
    sum->reused_bytes += result->reused_bytes;
}

void figures_add_copied(cJSON *object, const struct pkgcache_result *result)
{
    json_add_unsigned(object, "files", result->files);
    json_add_unsigned(object, "bytes", result->bytes);
    json_add_unsigned(object, "fetched_files", result->fetched_files);
    json_add_unsigned(object, "fetched_bytes", result->fetched_bytes);
    json_add_unsigned(object, "reused_files", result->reused_files);
    json_add_unsigned(object, "reused_bytes", result->reused_bytes);
}

void figures_read_copied(const struct json *object, struct pkgcache_result *ret)
{
    ret->files = json_count(object, "files");
    ret->bytes = json_count(object, "bytes");
    ret->fetched_files = json_count(object, "fetched_files");
    ret->fetched_bytes = json_count(object, "fetched_bytes");
    ret->reused_files = json_count(object, "reused_files");
    ret->reused_bytes = json_count(object, "reused_bytes");
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
