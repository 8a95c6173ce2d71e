/*
 * Serving rez's queue.
 *
 * No variant is forgotten when one process leaves while another hands over to it. Whoever hands
 * over has queued first, and found the lock held then. So the process that held it gives it up
 * after that, and looks into the queue once more after giving it up: it sees the variant, and takes
 * the lock again. If it cannot, there is another one by now, for which the same holds. A process
 * that is killed loses the lock with its last descriptor, and the queue is as it was: files go when
 * their variants are done.
 */
#include "cache/service/serve.h"

#include "cache/service/guest.h"
#include "cache/store/log.h"
#include "cache/store/pending.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/share.h"
#include "cache/warm/space.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>

enum {
    BATCH_MAX = 64,      /* variants that are warmed together: who queues later waits for them */
    CLEAN_EVERY_S = 600, /* see serve_clean_is_due */
    UNSETTLED_LOOK_MS = 100,
};

/* Opens a file in .sys that all who use the cache may open; see fs.protected_regular(5). */
static int open_shared(int sys_fd, const char *name)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat directory;
    int fd = names_open_file(sys_fd, name, flags, 0);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    fd = names_open_file(sys_fd, name, flags | O_CREAT | O_EXCL, 0666);
    if (fd >= 0 && fstat(sys_fd, &directory) == 0)
        share_follow(fd, &directory, share_file_bits(directory.st_mode));
    else if (fd < 0 && errno == EEXIST)
        fd = names_open_file(sys_fd, name, flags, 0);
    return fd >= 0 ? fd : -errno;
}

int serve_begin(int sys_fd)
{
    CLEANUP_CLOSE int fd = open_shared(sys_fd, SERVE_LOCK);
    if (fd < 0)
        return fd;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? steal_fd(&fd) : -errno;
}

/*
 * rez starts us on every resolve, also when everything is cached, and cleans each time. What clean
 * judges by is days old (unused variants, logs) or a minute (stalled copies), and what it deletes
 * is in nobody's way: ten minutes later is soon enough, and nothing is started in between. After
 * copying, the cache is cleaned in any case.
 */
bool serve_clean_is_due(int sys_fd)
{
    struct stat status;
    if (names_stat(sys_fd, SERVE_CLEANED, &status) < 0)
        return true;
    time_t age_s = time(NULL) - clock_file_s(status.st_mtim);
    return age_s >= CLEAN_EVERY_S || age_s < 0; /* a clock that was set back */
}

void serve_note_clean(const struct pkgcache *cache)
{
    CLEANUP_CLOSE int fd = open_shared(cache->sys_fd, SERVE_CLEANED);
    if (fd >= 0 && file_has_only_name(cache->sys_fd, SERVE_CLEANED, fd))
        futimens(fd, NULL); /* another user's may be written to, but a minute more is no harm */
}

/* What is copied together. */
struct batch {
    struct pending *pending;
    struct pkgcache *cache;
    size_t count; /* of the entries: the first so many */
    struct rezconfig *config;
    struct sources *sources;
    struct pkgcache_result results[BATCH_MAX]; /* one for each variant of the sources */
    const struct source_additions *additions;  /* while they are warmed */
    int cancel_fd;
};

/* A variant leaves the queue, however often it is in it. */
static void remove_variant(const struct batch *batch, const struct pkgcache_handle *handle)
{
    for (size_t i = 0; i < batch->count; i++)
        if (handle_equal(batch->pending->entries[i].handle, handle))
            pending_remove(batch->pending, &batch->pending->entries[i]);
}

static int keep_variant(const struct batch *batch, const struct pkgcache_handle *handle)
{
    int result = 0;
    for (size_t i = 0; i < batch->count && result == 0; i++)
        if (handle_equal(batch->pending->entries[i].handle, handle))
            result = pending_keep(batch->pending, &batch->pending->entries[i]);
    return result;
}

static bool is_known(const struct batch *batch, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (handle_equal(batch->pending->entries[i].handle, batch->pending->entries[number].handle))
            return true;
    return false;
}

/* Drops from the queue what cannot be cached, in rez's words where it has any. */
static void drop_uncachable(const struct batch *batch, const struct source_variant *variant)
{
    char uri[LOG_URI_MAX];
    if (variant->is_refused)
        log_write(batch->cache, LOGGED_WARNING, "Not cached - package is not cachable: %s",
                  log_uri(variant->handle, uri));
    else
        log_write(batch->cache, LOGGED_ERROR, "Failed to add variant to the cache: %s: %s",
                  variant->handle->qualified_name, variant->reason);
    remove_variant(batch, variant->handle);
}

/*
 * Whether a variant is to be served for one of those who queued it; see guest.h.
 *
 * @param root NULL: it is not known yet
 * @return     1; 0: it is left to them; or -errno
 */
static int may_serve(const struct batch *batch, const struct pkgcache_handle *handle,
                     const char *root, struct pkgcache_error *error)
{
    int result = 0;
    for (size_t i = 0; i < batch->count && result == 0; i++) {
        const struct pending_entry *entry = &batch->pending->entries[i];
        if (!handle_equal(entry->handle, handle))
            continue;
        if (guest_is_none(batch->pending, entry))
            result = 1;
        else
            result =
                root ? guest_may_read(entry, root) : guest_may_queue(entry, batch->config, error);
    }
    return result == 0 ? keep_variant(batch, handle) : result;
}

/* Deals with what is to be said of a root, or why there is none. Returns 0 or -errno. */
static int judge_root(const struct batch *batch, struct source_variant *variant,
                      struct pkgcache_error *error)
{
    if (variant->reason) {
        drop_uncachable(batch, variant);
        return 0;
    }
    int result = may_serve(batch, variant->handle, variant->root, error);
    if (result == 0)
        source_variant_give_reason(variant, EPERM, "it is closed to who queued it");
    return MIN(result, 0);
}

/* Finds out where the variants are, cached or not: what rez would refuse is refused in any case. */
static int find_roots(const struct batch *batch, struct pkgcache_error *error)
{
    struct sources *sources = batch->sources;
    struct source_variants *variants = &sources->variants;
    sources_clear(sources);
    for (size_t i = 0; i < batch->count; i++) {
        const struct pkgcache_handle *handle = batch->pending->entries[i].handle;
        int served = is_known(batch, i) ? 0 : may_serve(batch, handle, NULL, error);
        if (served < 0)
            return served;
        if (served == 0)
            continue;
        if (source_variants_add_handle(variants, handle, handle->qualified_name) < 0)
            return error_set(error, ENOMEM, "out of memory");
        variants->items[variants->count - 1].has_definition = true;
    }
    int result = sources_find_roots(sources, NULL, error);
    for (size_t i = 0; i < variants->count && result == 0; i++)
        result = judge_root(batch, &variants->items[i], error);
    return result;
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    const struct batch *batch = context;
    if (result->status == PKGCACHE_CREATED || result->status == PKGCACHE_FOUND)
        remove_variant(batch, batch->additions->variants[index].handle);
}

static int warm_additions(void *context, struct source_additions *additions,
                          struct pkgcache_error *error)
{
    struct batch *batch = context;
    const struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variant_size = sizeof(struct pkgcache_variant),
        .result_size = sizeof(struct pkgcache_result),
        .variants = additions->variants,
        .count = additions->count,
        .no_wait = true,
        .cancel_fd = batch->cancel_fd,
        .on_result = on_result,
        .context = batch,
    };
    batch->additions = additions;
    return warm.count > 0 ? pkgcache_warm(batch->cache, &warm, additions->results, error) : 0;
}

/* Whether there is too little room to go on, which keeps the queue. */
static bool is_full(const struct pkgcache *cache)
{
    char reason[SPACE_REASON_MAX];
    struct space space;
    return space_measure(cache->fd, &space) == 0 &&
           space_is_short(&space, &cache->options, false, reason);
}

/*
 * Whether a variant leaves the queue that was neither copied nor found. Not if it is to wait until
 * there is more room. But one that was begun is too large for what is left, and would be copied
 * again and again: the room that it took may take a moment to come back, so `full` says nothing.
 */
static bool is_dropped(const struct pkgcache_result *result, bool full)
{
    if (result->status == PKGCACHE_COPY_STALLED)
        return true;
    bool begun = result->files > 0 || result->bytes > 0;
    bool refused = result->status == PKGCACHE_SKIPPED || result->status == PKGCACHE_FAILED;
    return refused && (begun || !full);
}

/* Takes those off the queue, or leaves them to others, that were neither copied nor found. */
static int remove_refused(const struct batch *batch)
{
    int result = 0;
    bool full = is_full(batch->cache);
    for (size_t i = 0; i < batch->sources->variants.count && result == 0; i++) {
        const struct source_variant *variant = &batch->sources->variants.items[i];
        if (variant->reason)
            continue; /* dropped before */
        if (batch->results[i].status == PKGCACHE_COPYING)
            result = keep_variant(batch, variant->handle);
        else if (is_dropped(&batch->results[i], full))
            remove_variant(batch, variant->handle);
    }
    return result;
}

static int serve_batch(struct pkgcache *cache, struct pending *pending, struct rezconfig *config,
                       struct sources *sources, int cancel_fd, struct pkgcache_error *error)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return error_set(error, ENOMEM, "out of memory");
    *batch = (struct batch){
        .pending = pending,
        .cache = cache,
        .count = MIN(pending->count, (size_t)BATCH_MAX),
        .config = config,
        .sources = sources,
        .cancel_fd = cancel_fd,
    };
    int result = find_roots(batch, error);
    if (result == 0)
        result = sources_warm(sources, warm_additions, batch, batch->results, error);
    if (result == 0 && remove_refused(batch) < 0)
        result = error_set(error, ENOMEM, "out of memory");
    pkgcache_results_free(batch->results, sizeof(batch->results[0]), ARRAY_LENGTH(batch->results));
    sources_clear(sources);
    free(batch);
    return result;
}

/* Copies until the queue is empty, for us. @return 0; 1: it stays as it is; or -errno */
static int serve_until_empty(struct pkgcache *cache, struct pending *pending,
                             struct rezconfig *config, struct sources *sources, int cancel_fd,
                             struct pkgcache_error *error)
{
    for (;;) {
        int result = pending_load(cache, pending, error);
        if (result < 0 || (pending->count == 0 && !pending->unsettled))
            return result;
        struct pollfd wait = {.fd = cancel_fd, .events = POLLIN};
        if (poll(&wait, 1, pending->count == 0 ? UNSETTLED_LOOK_MS : 0) > 0)
            return error_set(error, ECANCELED, "interrupted");
        if (pending->count == 0)
            continue;
        if (is_full(cache)) {
            log_write(cache, LOGGED_INFO,
                      "Cache storage has reached the configured threshold of %.2fMB, caching will "
                      "now stop.",
                      (double)cache->options.space_buffer_bytes / (1024 * 1024));
            return 1;
        }
        result = serve_batch(cache, pending, config, sources, cancel_fd, error);
        if (result < 0)
            return result;
    }
}

int serve_pending(struct pkgcache *cache, int serving_fd, struct rezconfig *config,
                  struct sources *sources, int cancel_fd, struct pkgcache_error *ret_error)
{
    struct pending pending = {.fd = -1};
    CLEANUP_CLOSE int fd = serving_fd;
    int result = cache_make_directories(cache, ret_error);
    while (result == 0) {
        result = serve_until_empty(cache, &pending, config, sources, cancel_fd, ret_error);
        if (result != 0)
            break;
        cleanup_close_fd(&fd); /* from here on, others begin */
        fd = -1;
        result = pending_load(cache, &pending, ret_error);
        if (result < 0 || (pending.count == 0 && !pending.unsettled))
            break;
        fd = serve_begin(cache->sys_fd);
        if (fd < 0)
            break; /* somebody has begun, and sees it */
    }
    if (result < 0 && result != -ECANCELED)
        log_write(cache, LOGGED_ERROR, "An error occurred while adding variants to the cache: %s",
                  ret_error ? ret_error->message : strerror(-result));
    pending_free(&pending);
    return MIN(result, 0);
}
