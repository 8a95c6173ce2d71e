/*
 * rez's queue. inotify(7) says when files appear; what could not be served then, because another
 * process was at it, or there was no room, is tried again after a while. Nothing is
 * remembered: what is not served is in the directory still.
 */
#include "cache/service/queue.h"

#include "cache/service/precedence.h"
#include "cache/service/serve.h"
#include "cache/store/cache.h"
#include "cache/store/log.h"
#include "cache/store/own.h"
#include "cache/store/pending.h"
#include "cache/util/error.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

enum {
    AGAIN_S = 60, /* for what was left, and where other hosts queue: of those there are no events */
    UNWATCHED_S = 10, /* without inotify */
};

/* Opens the repositories that variants are looked for in. Wrong settings are found out here: later
 * they would look like wrong packages, which leave the queue. */
static int open_sources(struct rezconfig **ret_config, struct sources *sources,
                        struct pkgcache_error *error)
{
    const struct json *value;
    int result = rezconfig_new(ret_config) < 0 ? error_set(error, ENOMEM, "out of memory")
                                               : sources_open(sources, *ret_config, error);
    for (int key = REZCONFIG_DEFAULT_CACHABLE; result == 0 && key < REZCONFIG_COUNT; key++)
        result = rezconfig_get(*ret_config, (enum rezconfig_key)key, &value, NULL, error);
    return result;
}

/* The errand. Its thread has a cache of its own. */
static void serve_queue(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct queue *queue = CONTAINER_OF(errand, struct queue, errand);
    struct rezconfig *config = NULL;
    struct sources sources = {0};
    if (!cache || cache_make_directories(cache, error) < 0)
        return; /* the daemon will find out */
    precedence_copies();
    CLEANUP_CLOSE int serving_fd = serve_begin(cache->sys_fd);
    if (serving_fd < 0) {
        if (serving_fd != -EWOULDBLOCK)
            log_write(cache, LOGGED_ERROR, "Daemon: cannot serve rez's queue: %s",
                      strerror(-serving_fd));
        return;
    }
    if (open_sources(&config, &sources, error) < 0)
        log_write(cache, LOGGED_ERROR, "Daemon: rez's queue is left unchanged: %s", error->message);
    else
        serve_pending(cache, steal_fd(&serving_fd), config, &sources,
                      errands_stop_fd(queue->errands), error);
    sources_free(&sources);
    rezconfig_free(config);
}

static void start_serving(struct queue *queue)
{
    if (queue->busy) {
        queue->again = true;
        return;
    }
    queue->again = false;
    queue->began_ns = clock_monotonic_ns();
    queue->busy = errands_add(queue->errands, &queue->errand) == 0;
}

static void on_served(struct errand *errand)
{
    struct queue *queue = CONTAINER_OF(errand, struct queue, errand);
    queue->busy = false;
    if (queue->again && !queue->loop->stopping) /* there were events while it ended, perhaps */
        start_serving(queue);
}

/* Whether nobody but the daemon's user can queue. */
static bool is_private(const struct pkgcache *cache)
{
    struct stat status;
    return names_stat(cache->sys_fd, PENDING_DIRECTORY, &status) == 0 && own_is_ours(&status);
}

static bool may_serve(const struct queue *queue)
{
    return geteuid() != 0 || is_private(queue->cache);
}

static void on_directory_events(struct loop_watch *watch, uint32_t events)
{
    struct queue *queue = CONTAINER_OF(watch, struct queue, directory_events);
    _Alignas(struct inotify_event) char changes[4096];
    (void)events;
    while (read(queue->inotify_fd, changes, sizeof(changes)) > 0)
        continue;
    if (may_serve(queue))
        start_serving(queue);
}

/* Watches the directory. Returns whether it is another one than before, or there was none. */
static bool watch_directory(struct queue *queue)
{
    char path[32];
    int before = queue->watched;
    CLEANUP_CLOSE int fd =
        queue->inotify_fd < 0 ? -1 : cache_open_private(queue->cache, PENDING_DIRECTORY, false);
    if (queue->inotify_fd < 0)
        return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    queue->watched = fd < 0 ? -1
                            : inotify_add_watch(queue->inotify_fd, path,
                                                IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    return queue->watched >= 0 && queue->watched != before;
}

int queue_start(struct queue *queue, struct shared_options *options, int wake_fd,
                struct pkgcache_error *ret_error)
{
    int result = cache_make_directories(queue->cache, ret_error);
    int pending_fd = result == 0 ? cache_open_private(queue->cache, PENDING_DIRECTORY, true) : -1;
    cleanup_close_fd(&pending_fd); /* it is there now, to be watched; or it is looked for later */
    if (result == 0)
        result = errands_start(queue->cache->path, options, 1, wake_fd, &queue->errands, ret_error);
    if (result < 0)
        return result;
    queue->errand = (struct errand){.run = serve_queue, .done = on_served};
    queue->directory_events.on_events = on_directory_events;
    queue->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (queue->inotify_fd >= 0) /* there may be too many already: then it is looked for */
        loop_watch_fd(queue->loop, queue->inotify_fd, EPOLLIN, &queue->directory_events);
    watch_directory(queue);
    if (!may_serve(queue))
        log_write(
            queue->cache, LOGGED_WARNING,
            "Daemon: rez's queue is not served, because users other than root can write to it, and "
            "the daemon reads with root's rights; run the daemon as a user of its own");
    else if (pending_is_waiting(queue->cache->sys_fd))
        start_serving(queue);
    return 0;
}

void queue_check(struct queue *queue)
{
    bool is_new = watch_directory(queue);
    uint64_t wait_s = is_new ? 0 : queue->watched < 0 ? UNWATCHED_S : AGAIN_S;
    if (queue->busy || clock_monotonic_ns() - queue->began_ns < wait_s * NS_PER_S)
        return;
    if (pending_is_waiting(queue->cache->sys_fd) && may_serve(queue))
        start_serving(queue);
}
