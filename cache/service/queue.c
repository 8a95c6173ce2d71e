/*
 * rez's queue. Files that appear are told of by inotify(7); what could not be served then, because
 * another process was at it, or there was no room, is tried again after a while. Nothing is
 * remembered: what is not served is in the directory still.
 */
#include "cache/service/queue.h"

#include "cache/service/precedence.h"
#include "cache/service/serve.h"
#include "cache/store/log.h"
#include "cache/store/pending.h"
#include "cache/util/error.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

enum {
    AGAIN_S = 60,  /* for what was left, and where other hosts queue: nobody tells of those */
    UNTOLD_S = 10, /* without inotify */
};

/* Makes the repositories that variants are looked for in. Wrong settings are found out here: later
 * they would look like wrong packages, which leave the queue. */
static int open_repositories(struct rezconfig **ret_config, struct repositories **ret,
                             struct pkgcache_error *error)
{
    const struct json *value;
    int result = rezconfig_new(ret_config);
    if (result == 0)
        result = repositories_new(*ret_config, ret);
    if (result < 0)
        return error_set(error, ENOMEM, "out of memory");
    for (int key = REZCONFIG_DEFAULT_CACHABLE; result == 0 && key < REZCONFIG_COUNT; key++)
        result = rezconfig_get(*ret_config, (enum rezconfig_key)key, &value, NULL, error);
    return result;
}

/* The errand. Its thread has a cache of its own. */
static void serve_queue(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct queue *queue = CONTAINER_OF(errand, struct queue, errand);
    struct rezconfig *config = NULL;
    struct repositories *repositories = NULL;
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
    if (open_repositories(&config, &repositories, error) < 0)
        log_write(cache, LOGGED_ERROR, "Daemon: rez's queue stays as it is: %s", error->message);
    else
        serve_pending(cache, steal_fd(&serving_fd), repositories, errands_stop_fd(queue->errands),
                      error);
    repositories_free(repositories);
    rezconfig_free(config);
}

static void begin(struct server *server)
{
    struct queue *queue = &server->queue;
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
    struct server *server = CONTAINER_OF(queue, struct server, queue);
    queue->busy = false;
    if (queue->again && !server->stopping) /* told of while it ended, perhaps */
        begin(server);
}

/* Whether nobody but the daemon's user can queue. */
static bool is_private(const struct server *server)
{
    struct stat status;
    return fstatat(server->cache->sys_fd, PENDING_DIRECTORY, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_uid == geteuid() && !(status.st_mode & (S_IWGRP | S_IWOTH));
}

static bool may_serve(const struct server *server)
{
    return geteuid() != 0 || is_private(server);
}

static void on_files(struct source *source, uint32_t events)
{
    struct server *server = source->server;
    _Alignas(struct inotify_event) char told[4096];
    (void)events;
    while (read(server->queue.inotify_fd, told, sizeof(told)) > 0)
        continue;
    if (may_serve(server))
        begin(server);
}

/* Watches the directory. Returns whether it is another one than before, or there was none. */
static bool watch(struct queue *queue, const struct pkgcache *cache)
{
    CLEANUP_FREE char *path = NULL;
    int before = queue->watched;
    if (queue->inotify_fd < 0 || asprintf(&path, "%s/.sys/" PENDING_DIRECTORY, cache->path) < 0)
        return false;
    queue->watched = inotify_add_watch(queue->inotify_fd, path,
                                       IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW);
    return queue->watched >= 0 && queue->watched != before;
}

int queue_start(struct server *server, struct pkgcache_error *ret_error)
{
    struct queue *queue = &server->queue;
    int result = cache_make_directories(server->cache, ret_error);
    int pending_fd = result == 0 ? cache_open_private(server->cache, PENDING_DIRECTORY, true) : -1;
    cleanup_close_fd(&pending_fd); /* it is there now, to be watched; or it is looked for later */
    if (result == 0)
        result = errands_start(server->cache->path, &server->queue_options, 1, server->wake_fd,
                               &queue->errands, ret_error);
    if (result < 0)
        return result;
    queue->errand = (struct errand){.run = serve_queue, .done = on_served};
    queue->told = (struct source){.handle = on_files};
    queue->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (queue->inotify_fd >= 0) /* there may be too many already: then it is looked for */
        server_watch(server, queue->inotify_fd, EPOLLIN, &queue->told);
    watch(queue, server->cache);
    if (!may_serve(server))
        log_write(server->cache, LOGGED_WARNING,
                  "Daemon: rez's queue is left alone: others than root can write to it, and what "
                  "root can read is not for all; let the daemon be a user of its own");
    else if (pending_is_waiting(server->cache->sys_fd))
        begin(server);
    return 0;
}

void queue_look(struct server *server)
{
    struct queue *queue = &server->queue;
    bool is_new = watch(queue, server->cache);
    uint64_t wait_s = is_new ? 0 : queue->watched < 0 ? UNTOLD_S : AGAIN_S;
    if (queue->busy || clock_monotonic_ns() - queue->began_ns < wait_s * NS_PER_S)
        return;
    if (pending_is_waiting(server->cache->sys_fd) && may_serve(server))
        begin(server);
}
