/*
 * Numbers that are shown: what a cache's statistics are called in JSON, in Prometheus's text format
 * and by people.
 */
#pragma once

#include "cache/json/json.h"
#include "cache/json/json_build.h"
#include "cache/pkgcache.h"
#include "cache/util/text.h"

enum figure_unit { UNIT_COUNT, UNIT_BYTES, UNIT_SECONDS, UNIT_TIME };

/* A number, under all its names. */
struct figure {
    const char *key;    /* in JSON */
    const char *metric; /* Prometheus; a counter's ends in _total */
    const char *text;   /* for people; NULL: it stands in another line */
    const char *help;
    enum figure_unit unit;
    bool is_real;
    uint64_t whole;
    double real;
};

enum { FIGURES_MAX = 24 };

/** @return how many there are */
size_t figures_of_stats(const struct pkgcache_stats *stats, struct figure ret[static FIGURES_MAX]);

/** Appends the number alone. */
void figure_append(struct text *text, const struct figure *figure);

/** Statistics as a JSON object (json_build.h), which is the caller's; NULL: no memory. */
cJSON *figures_build_stats(const struct pkgcache_stats *stats);

/** Reads what that is printed as. @return 0 or -EBADMSG */
int figures_read_stats(const struct json *value, struct pkgcache_stats *ret);

/** Adds the sizes of one copy to those of others. */
void figures_sum_copied(struct pkgcache_result *sum, const struct pkgcache_result *result);

/** Adds what was copied to an object: files and bytes, and of these what was fetched and reused. */
void figures_add_copied(cJSON *object, const struct pkgcache_result *result);

/** Reads what that added; what is missing is 0. */
void figures_read_copied(const struct json *object, struct pkgcache_result *ret);

/** Appends figures as Prometheus reads them. @param cache_path the value of their label "cache" */
void figures_append_prometheus(struct text *text, const char *cache_path,
                               const struct figure *figures, size_t count);
