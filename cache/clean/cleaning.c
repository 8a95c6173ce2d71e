/* One clean under way: what is in use, what is said, when to stop. */
#include "cache/clean/cleaning.h"

#include "cache/store/foreign.h"
#include "cache/store/recall.h"

#include "engine/clock.h"

#include <assert.h>

#define TIME_LIMIT_MAX_S 1e9 /* what is longer has no end that we see */

const struct inuse *cleaning_find_inuse(struct cleaning *cleaning)
{
    if (!cleaning->inuse_found)
        inuse_scan_processes(&cleaning->inuse);
    cleaning->inuse_found = true;
    assert(cleaning->inuse.seen_at_ns > 0);
    return &cleaning->inuse;
}

const struct inuse *cleaning_find_inuse_since(struct cleaning *cleaning, struct timespec last_used)
{
    const int64_t interval_ns = RECALL_TOUCH_INTERVAL_MS * (int64_t)NS_PER_MS;
    int64_t shows_ns = clock_file_ns(last_used) + interval_ns;
    int64_t wait_ns = shows_ns - (int64_t)clock_ns(CLOCK_REALTIME);
    bool to_come = wait_ns > interval_ns; /* the clock was set back: there is no telling */
    if (!to_come && cleaning->inuse_found && cleaning->inuse.seen_at_ns < shows_ns) {
        inuse_free(&cleaning->inuse);
        cleaning->inuse_found = false;
    }
    if (!to_come && wait_ns > 0 && !cleaning->options->dry_run)
        nanosleep(&(struct timespec){.tv_nsec = MIN(wait_ns, (int64_t)NS_PER_S - 1)}, NULL);
    return cleaning_find_inuse(cleaning);
}

static void report(const struct cleaning *cleaning,
                   void (*callback)(void *context, const struct pkgcache_cleaned *cleaned),
                   const char *directory, const char *name, struct pkgcache_cleaned cleaned)
{
    CLEANUP_FREE char *path = NULL;
    if (!callback || asprintf(&path, "%s/%s/%s", cleaning->cache->path, directory, name) < 0)
        return;
    cleaned.path = path;
    callback(cleaning->options->context, &cleaned);
}

void cleaning_report_kept(const struct cleaning *cleaning, const char *directory, const char *name,
                          const char *why, uint64_t bytes)
{
    report(cleaning, cleaning->options->on_kept, directory, name,
           (struct pkgcache_cleaned){.why = why, .bytes = bytes});
}

void cleaning_report_removed(const struct cleaning *cleaning, const char *directory,
                             const char *name, const char *why, uint64_t bytes, bool deleted)
{
    bool freed = (deleted || cleaning->options->dry_run) && bytes != PKGCACHE_NOT_COUNTED;
    report(cleaning, cleaning->options->on_removed, directory, name,
           (struct pkgcache_cleaned){.why = why, .bytes = bytes, .freed_bytes = freed ? bytes : 0});
}

void cleaning_report_failure(const struct cleaning *cleaning, const char *directory,
                             const char *name, const char *why)
{
    CLEANUP_FREE char *path = NULL;
    if (cleaning->options->on_failed &&
        asprintf(&path, "%s/%s/%s", cleaning->cache->path, directory, name) >= 0)
        cleaning->options->on_failed(cleaning->options->context, path, why);
}

uint64_t cleaning_deadline(const struct pkgcache_clean *options)
{
    return options->time_limit_s <= 0
               ? 0
               : clock_monotonic_ns() +
                     (uint64_t)(MIN(options->time_limit_s, TIME_LIMIT_MAX_S) * (double)NS_PER_S);
}

int cleaning_check(const struct cleaning *cleaning)
{
    if (cache_is_cancelled(cleaning->options->cancel_fd))
        return error_set(cleaning->error, ECANCELED, "interrupted");
    bool over = cleaning->deadline_ns && clock_monotonic_ns() > cleaning->deadline_ns;
    return over ? CLEANING_TIME_IS_OVER : 0;
}

int cleaning_check_cache(struct cleaning *cleaning)
{
    char definition[FOREIGN_PATH_MAX];
    if (!cleaning->is_cache && foreign_find_definition(cleaning->cache->fd, definition))
        return error_set(cleaning->error, EINVAL,
                         "%s is a repository of packages: it contains %s. Nothing in it is deleted "
                         "by its looks. Move the cache that is in it elsewhere",
                         cleaning->cache->path, definition);
    cleaning->is_cache = true;
    return 0;
}

int cleaning_take_lock(const struct cleaning *cleaning, struct lock **ret)
{
    return cache_lock(cleaning->cache, cache_lock_timeout_ms(cleaning->cache),
                      cleaning->options->cancel_fd, ret, cleaning->error);
}
