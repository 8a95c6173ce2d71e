/* What the counters say, together with what is in the cache now. */
#include "cache/store/size.h"
#include "cache/store/stats.h"

#include "engine/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static int on_entry(void *context, const struct pkgcache_entry *entry)
{
    struct pkgcache_stats *stats = context;
    struct size size = {entry->bytes, entry->files};
    if (entry->status != PKGCACHE_FOUND)
        return 0;
    const char *name = pkgcache_handle_name(entry->handle);
    if (size.bytes == PKGCACHE_NOT_COUNTED && size_find_at(entry->cached_root, &size) < 0)
        return 0; /* gone by now */
    if (stats->variants == 0 || size.bytes > stats->largest_bytes) {
        stats->largest_bytes = size.bytes;
        snprintf(stats->largest, sizeof(stats->largest), "%s", name);
    }
    if (stats->variants == 0 || is_before(entry->last_used, stats->oldest_used)) {
        stats->oldest_used = entry->last_used;
        snprintf(stats->oldest, sizeof(stats->oldest), "%s", name);
    }
    stats->variants++;
    stats->stored_bytes += size.bytes;
    stats->stored_files += size.files;
    return 0;
}

static void take_over(const struct stats_totals *totals, struct pkgcache_stats *ret)
{
    const uint64_t *counters = totals->counters;
    ret->since = (time_t)totals->since_s;
    ret->hits = counters[STATS_HITS];
    ret->misses = counters[STATS_MISSES];
    ret->waits = counters[STATS_WAITS];
    ret->copies = counters[STATS_COPIES];
    ret->files = counters[STATS_FILES];
    ret->bytes = counters[STATS_BYTES];
    ret->failures = counters[STATS_FAILURES];
    ret->skipped = counters[STATS_SKIPPED];
    ret->removals = counters[STATS_REMOVALS];
    ret->evictions = counters[STATS_EVICTED];
    ret->cleans = counters[STATS_CLEANS];
    ret->shared_files = counters[STATS_SHARED_FILES];
    ret->shared_bytes = counters[STATS_SHARED_BYTES];
    ret->reused_files = counters[STATS_REUSED_FILES];
    ret->reused_bytes = counters[STATS_REUSED_BYTES];
    ret->copy_seconds = (double)counters[STATS_COPY_NS] / (double)NS_PER_S;
    if (ret->copies > 0)
        ret->seconds_saved = (double)ret->hits * ret->copy_seconds / (double)ret->copies;
}

int pkgcache_stats(struct pkgcache *cache, struct pkgcache_stats *ret,
                   struct pkgcache_error *ret_error)
{
    struct pkgcache_stats stats = {0};
    struct stats_totals totals;
    struct statvfs room;
    if (give_struct(ret, sizeof(stats), &stats) < 0)
        return error_struct_size(ret_error, "stats", "pkgcache_stats");
    int result = stats_read(cache, &totals);
    if (result < 0)
        return error_set(ret_error, -result, "cannot read the counters of %s: %s", cache->path,
                         error_text(-result));
    take_over(&totals, &stats);
    result = pkgcache_list(cache, on_entry, &stats, ret_error);
    if (result < 0)
        return result;
    if (fstatvfs(cache->fd, &room) == 0)
        stats.room_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    return give_struct(ret, sizeof(stats), &stats);
}

int pkgcache_stats_reset(struct pkgcache *cache, struct pkgcache_error *ret_error)
{
    int result = stats_zero(cache);
    return result == 0 ? 0
                       : error_set(ret_error, -result, "cannot zero the counters of %s: %s",
                                   cache->path, error_text(-result));
}
