/* An addition's copy, as the engine is told of it and tells of it, from threads of its own. */
#include "cache/store/slot_manifest.h"
#include "cache/util/share.h"
#include "cache/warm/donors.h"
#include "cache/warm/run.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <sys/eventfd.h>

enum {
    PROGRESS_MS = 10, /* of a job: how often room is looked at when it is short */
    WAKE_MS = 100,    /* how often that wakes the run when it is not */
};

/* Whether the run wants to hear of progress: always when room is about to be short. */
static bool is_time_to_wake(struct run *run)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    if (!atomic_load_explicit(&run->space_is_near, memory_order_relaxed) &&
        now_ns < atomic_load_explicit(&run->woken_ns, memory_order_relaxed) + WAKE_MS * NS_PER_MS)
        return false;
    atomic_store_explicit(&run->woken_ns, now_ns, memory_order_relaxed);
    return true;
}

static int on_progress(void *context, const struct copyengine_progress *progress)
{
    struct addition *addition = context;
    (void)progress;
    heartbeat_beat(&addition->run->heartbeat);
    if (is_time_to_wake(addition->run))
        eventfd_write(addition->run->event_fd, 1);
    return 0;
}

static void on_warning(void *context, const char *path, const char *text)
{
    struct addition *addition = context;
    const struct pkgcache_warm *warm = &addition->run->warm;
    warnings_add(&addition->warnings, path, text);
    if (warm->on_warning)
        warm->on_warning(warm->context, path, text);
}

static void on_done(void *context)
{
    struct addition *addition = context;
    struct run *run = addition->run;
    heartbeat_beat(&run->heartbeat);
    pthread_mutex_lock(&run->lock);
    addition->next = run->copied;
    run->copied = addition;
    pthread_mutex_unlock(&run->lock);
    eventfd_write(run->event_fd, 1);
}

/* A repair brings contents from the source again: what is cached is what is doubted. */
static int find_donors(const struct addition *addition, struct donors **ret)
{
    const struct pkgcache *cache = addition->run->cache;
    *ret = NULL;
    return cache->options.no_reuse || addition->replaced
               ? 0
               : donors_open(cache, addition->variant->handle, ret);
}

/* The engine asks the supply itself, perhaps after the addition is gone. */
static int submit_supply(struct addition *addition, const char *shown)
{
    struct run *run = addition->run;
    struct warm_supply *supply = addition->supply;
    struct donors *donors = NULL;
    int result = find_donors(addition, &donors);
    void *begun = result == 0 ? supply->kind->begin(supply, donors) : NULL;
    addition_begin_published(addition);
    if (!begun) {
        donors_free(donors);
        return -ENOMEM;
    }
    const struct copyengine_supply supplied = {
        .size = sizeof(supplied),
        .source = supply->name,
        .describe = supply->kind->describe,
        .read = supply->kind->read,
        .waits = supply->waits,
        .source_device = supply->device,
        .origins = supply->kind->origins(begun),
        .on_released = supply->kind->end,
        .contents_context = begun,
        .destination_dirfd = run->staging.fd,
        .destination = addition->tree_name,
        .destination_shown = shown,
        .root_stays_writable = true,
        .on_progress = on_progress,
        .progress_interval_ms = PROGRESS_MS,
        .on_warning = on_warning,
        .on_done = on_done,
        .context = addition,
        .priority = addition->variant->priority,
        .manifest = addition->manifest_fd >= 0,
        .manifest_fd = addition->manifest_fd,
        .owned_directories = share_is_sticky(run->cache->root.st_mode),
    };
    result = copyengine_submit_supply(run->cache->engine, &supplied, &addition->job);
    if (result < 0)
        supply->kind->end(begun);
    return result;
}

static int submit_copy(struct addition *addition, const char *shown)
{
    const struct run *run = addition->run;
    const struct copyengine_copy copy = {
        .size = sizeof(copy),
        .source = addition->variant->root,
        .destination_dirfd = run->staging.fd,
        .destination = addition->tree_name,
        .destination_shown = shown,
        .symlinks = run->cache->options.symlinks,
        .root_stays_writable = true,
        .on_progress = on_progress,
        .progress_interval_ms = PROGRESS_MS,
        .on_warning = on_warning,
        .on_done = on_done,
        .context = addition,
        .digest = addition->manifest_fd >= 0,
        .manifest = addition->manifest_fd >= 0,
        .manifest_fd = addition->manifest_fd,
        .priority = addition->variant->priority,
        .source_device = addition->source_device,
        .source_inode = addition->source_inode,
        /* so that users are kept off each other's variants in them as well, and move nothing out */
        .owned_directories = share_is_sticky(run->cache->root.st_mode),
    };
    return copyengine_submit_copy(run->cache->engine, &copy, &addition->job);
}

int addition_submit(struct addition *addition)
{
    struct run *run = addition->run;
    CLEANUP_FREE char *shown = NULL;
    if (asprintf(&shown, "%s/.sys/staging/%s/%s", run->cache->path, run->staging.id,
                 addition->tree_name) < 0)
        return -ENOMEM;
    if (!run->cache->options.no_digests) /* if there is no room for it, the copy will say so */
        addition->manifest_fd = slot_manifest_create(
            run->cache, run->staging.fd, addition->manifest_name, addition->variant->handle, NULL);
    addition->stage = STAGE_COPYING;
    if (run->copying_since_ns == 0)
        run->copying_since_ns = clock_monotonic_ns();
    int result = addition->supply ? submit_supply(addition, shown) : submit_copy(addition, shown);
    if (result == 0)
        run_add_job(run, addition);
    return result;
}
