/* One clean under way: what is in use, what is said, when to stop. */
#include "cache/clean/cleaning.h"

#include "cache/store/recall.h"

#include "engine/clock.h"

#include <assert.h>

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
    int64_t shows_ns =
        last_used.tv_sec * (int64_t)NS_PER_S + (int64_t)last_used.tv_nsec + interval_ns;
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

void cleaning_report(const struct cleaning *cleaning,
                     void (*callback)(void *context, const struct pkgcache_cleaned *cleaned),
                     const char *directory, const char *name, const char *why, uint64_t bytes)
{
    CLEANUP_FREE char *path = NULL;
    if (callback && asprintf(&path, "%s/%s/%s", cleaning->cache->path, directory, name) >= 0)
        callback(cleaning->options->context,
                 &(struct pkgcache_cleaned){.path = path, .why = why, .bytes = bytes});
}

void cleaning_report_failure(const struct cleaning *cleaning, const char *directory,
                             const char *name, const char *why)
{
    CLEANUP_FREE char *path = NULL;
    if (cleaning->options->on_failed &&
        asprintf(&path, "%s/%s/%s", cleaning->cache->path, directory, name) >= 0)
        cleaning->options->on_failed(cleaning->options->context, path, why);
}

int cleaning_check(const struct cleaning *cleaning)
{
    if (cache_is_cancelled(cleaning->options->cancel_fd))
        return error_set(cleaning->error, ECANCELED, "interrupted");
    bool over = cleaning->deadline_ns && clock_monotonic_ns() > cleaning->deadline_ns;
    return over ? CLEANING_TIME_IS_OVER : 0;
}

int cleaning_take_lock(const struct cleaning *cleaning, struct lock **ret)
{
    return cache_lock(cleaning->cache, cache_lock_timeout_ms(cleaning->cache),
                      cleaning->options->cancel_fd, ret, cleaning->error);
}
