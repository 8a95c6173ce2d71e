/* What is written down of an addition: lines of the log, in rez's words, and counters. */
#include "cache/store/log.h"
#include "cache/store/stats.h"
#include "cache/warm/run.h"

#include "engine/clock.h"

/* Those that were not begun with are not worth a line, but for what keeps them out. */
static void log_result(const struct addition *addition)
{
    const struct pkgcache_result *result = addition->result;
    struct pkgcache *cache = addition->run->cache;
    const char *reason = result->reason ? result->reason : "";
    uint64_t now_ns = clock_monotonic_ns();
    if (result->status == PKGCACHE_FAILED)
        log_write(cache, LOGGED_ERROR, "Failed to add variant to the cache: %s: %s",
                  addition->variant->handle->qualified_name, reason);
    else if (result->status == PKGCACHE_SKIPPED)
        log_write(cache, LOGGED_WARNING, "Not caching %s: %s",
                  addition->variant->handle->qualified_name, reason);
    else if (addition->began_ns == 0)
        return;
    else if (result->status == PKGCACHE_FOUND)
        log_write(cache, LOGGED_INFO, "Variant was already cached at %s", result->root);
    else if (result->status == PKGCACHE_COPYING)
        log_write(cache, LOGGED_INFO, "Variant is already being copied to %s", result->root);
    else if (result->status == PKGCACHE_COPY_STALLED)
        log_write(cache, LOGGED_INFO, "Variant is stalled copying to %s", result->root);
    else
        log_write(cache, LOGGED_INFO, "Cached variant to %s in %g seconds", result->root,
                  (double)(now_ns - addition->began_ns) / (double)NS_PER_S);
}

static void log_warnings(const struct addition *addition)
{
    const struct pkgcache_result *result = addition->result;
    for (size_t i = 0; i < result->warning_count; i++)
        log_write(addition->run->cache, LOGGED_WARNING, "%s: %s", result->warnings[i].path,
                  result->warnings[i].text);
}

void addition_record_begin(struct addition *addition)
{
    char uri[LOG_URI_MAX];
    if (addition->began_ns)
        return;
    addition->began_ns = clock_monotonic_ns();
    log_write(addition->run->cache, LOGGED_INFO, "Started caching of variant %s...",
              log_uri(addition->variant->handle, uri));
}

static void count_result(struct run *run, const struct pkgcache_result *result)
{
    if (result->status == PKGCACHE_FAILED)
        stats_add(run->cache, STATS_FAILURES, 1);
    else if (result->status == PKGCACHE_SKIPPED)
        stats_add(run->cache, STATS_SKIPPED, 1);
    if (result->status != PKGCACHE_CREATED)
        return;
    run->copied_until_ns = clock_monotonic_ns();
    stats_add(run->cache, STATS_COPIES, 1);
    stats_add(run->cache, STATS_FILES, result->files);
    stats_add(run->cache, STATS_BYTES, result->bytes);
    stats_add(run->cache, STATS_REUSED_FILES, result->reused_files);
    stats_add(run->cache, STATS_REUSED_BYTES, result->reused_bytes);
}

void addition_record_result(const struct addition *addition)
{
    count_result(addition->run, addition->result);
    log_warnings(addition);
    log_result(addition);
}
