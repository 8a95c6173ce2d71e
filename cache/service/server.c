/*
 * The daemon's loop. One thread serves the protocol with epoll(7); it never waits for a source, the
 * lock, or a client. What would is done by the copier, or is an errand.
 */
#include "cache/service/server.h"

#include "cache/service/notify.h"
#include "cache/service/precedence.h"
#include "cache/service/queue.h"
#include "cache/service/upkeep.h"
#include "cache/store/log.h"
#include "cache/store/recall.h"

#include "engine/clock.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum {
    READ_AT_ONCE = 4, /* warms with sources */
    EVENTS_AT_ONCE = 64,
    ACCEPT_AT_ONCE = 64,
    TICK_MS = 200,      /* while there are jobs */
    KEEP_MS = 2000,     /* between two looks at the socket and the cache */
    METRICS_MS = 15000, /* between two files */
    STOP_WAIT_S = 1,
    CROWD_LOOK_MS = 100,
    CROWD_PER_S = 50, /* requests, but to copy: so many are a crowd's */
};

int server_watch(struct server *server, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    source->server = server;
    return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void server_stop(struct server *server, int result)
{
    if (!server->stopping)
        server->result = result;
    server->stopping = true;
}

/* --- Who comes in ---------------------------------------------------------------------------- */

/* Says why not, and closes. */
static void turn_away(struct server *server, int fd, enum message_error code, const char *why)
{
    CLEANUP_TEXT struct text text = {0};
    server->counters.refused++;
    message_write_error(&text, "null", code, 0, why);
    text_append_byte(&text, '\n');
    if (text.error == 0) /* if it does not fit, it is not said */
        (void)!send(fd, text.bytes, text.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void take_in(struct server *server, int fd)
{
    struct peer peer;
    if (peer_look(fd, &peer) < 0 || !peer_may_ask(&server->rule, fd, &peer))
        turn_away(server, fd, MESSAGE_FORBIDDEN, "this daemon does not serve you");
    else if (server->connections.count >= SERVER_CONNECTIONS_MAX ||
             connections_of(server, peer.uid) >= SERVER_CONNECTIONS_OF_USER_MAX)
        turn_away(server, fd, MESSAGE_BUSY, "too many connections: try again later");
    else if (connection_accept(server, fd, &peer) == 0)
        server->counters.accepted++;
}

static void on_connecting(struct source *source, uint32_t events)
{
    struct server *server = source->server;
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        take_in(server, fd);
    }
}

/* --- What happens ---------------------------------------------------------------------------- */

static void conclude(struct errands *errands)
{
    struct errand *errand = errands_take_done(errands);
    for (struct errand *next; errand; errand = next) {
        next = errand->next;
        errand->done(errand);
    }
}

static void on_woken(struct source *source, uint32_t events)
{
    struct server *server = source->server;
    eventfd_t count;
    (void)events;
    eventfd_read(server->wake_fd, &count);
    jobs_take_done(server);
    conclude(server->leasing);
    conclude(server->upkeep);
    conclude(server->listing);
    conclude(server->reading);
    conclude(server->queue.errands);
}

static void reload(struct server *server)
{
    const struct service_options *options = server->options;
    struct pkgcache_error error;
    char state[128];
    if (!options->on_reload)
        return;
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(clock_monotonic_ns() / 1000));
    notify_send(state);
    if (options->on_reload(options->context, &server->cache_options, &server->queue_options,
                           &server->clean, &error) < 0) {
        log_write(server->cache, LOGGED_ERROR, "Daemon: settings stay as they are: %s",
                  error.message);
    } else {
        copier_reload(server->copier, &server->cache_options);
        errands_reload(server->leasing, &server->cache_options);
        errands_reload(server->upkeep, &server->cache_options);
        errands_reload(server->listing, &server->cache_options);
        errands_reload(server->reading, &server->cache_options);
        errands_reload(server->queue.errands, &server->queue_options);
        log_write(server->cache, LOGGED_INFO, "Daemon: settings were read again");
    }
    notify_send("READY=1");
}

static void on_signal(struct source *source, uint32_t events)
{
    struct server *server = source->server;
    struct signalfd_siginfo information;
    (void)events;
    while (read(server->options->signal_fd, &information, sizeof(information)) ==
           (ssize_t)sizeof(information)) {
        if (information.ssi_signo == SIGHUP)
            reload(server);
        else
            server_stop(server, 0);
    }
}

/* --- Time ------------------------------------------------------------------------------------ */

/* The cache's directory may have been removed, and another made: that is not ours to serve. */
static void look_at_cache(struct server *server)
{
    struct stat status;
    if (stat(server->cache->path, &status) == 0 && status.st_dev == server->cache->root.st_dev &&
        status.st_ino == server->cache->root.st_ino)
        return;
    server_stop(server, -ESTALE);
}

/* A crowd of clients is left a processor; see precedence.c. With two processors, 99 of 100 answers
 * come within 0.7 ms then, instead of 1.3. Who only has things copied waits for copies anyway. */
static void look_at_crowd(struct server *server, uint64_t now_ns)
{
    uint64_t elapsed_ns = now_ns - server->crowd_ns;
    if (elapsed_ns < CROWD_LOOK_MS * NS_PER_MS)
        return;
    precedence_leave_processor(server->crowd_requests * NS_PER_S > CROWD_PER_S * elapsed_ns);
    server->crowd_ns = now_ns;
    server->crowd_requests = 0;
}

static bool is_idle(const struct server *server)
{
    return server->connections.count == 0 && server->jobs.count == 0 &&
           server->jobs.work_count == 0 && !server->queue.busy;
}

static void tick(struct server *server)
{
    const struct service_options *options = server->options;
    uint64_t now_ns = clock_monotonic_ns();
    look_at_crowd(server, now_ns);
    if (server->jobs.count > 0)
        jobs_tick(server);
    if (!is_idle(server))
        server->busy_ns = now_ns;
    else if (options->idle_exit_s && now_ns - server->busy_ns > options->idle_exit_s * NS_PER_S)
        server_stop(server, 0);
    if (now_ns - server->kept_ns > KEEP_MS * NS_PER_MS) {
        server->kept_ns = now_ns;
        look_at_cache(server);
        if (!server->stopping && listener_keep(&server->listener))
            server_watch(server, server->listener.fd, EPOLLIN, &server->listening);
        if (!server->stopping)
            queue_look(server);
    }
    if (options->metrics_path && now_ns - server->metrics_ns > METRICS_MS * NS_PER_MS) {
        server->metrics_ns = now_ns;
        upkeep_write_metrics(server);
    }
    if (server->watchdog_ns && now_ns - server->alive_ns > server->watchdog_ns) {
        server->alive_ns = now_ns;
        notify_send("WATCHDOG=1");
    }
}

static int wait_ms(const struct server *server)
{
    uint64_t wait_ns = KEEP_MS * NS_PER_MS;
    if (connections_are_ready(&server->connections))
        return 0;
    if (server->jobs.count > 0)
        wait_ns = TICK_MS * NS_PER_MS;
    if (server->watchdog_ns)
        wait_ns = MIN(wait_ns, server->watchdog_ns / 2);
    if (server->options->idle_exit_s)
        wait_ns = MIN(wait_ns, NS_PER_S);
    return (int)(wait_ns / NS_PER_MS) + 1;
}

static void serve(struct server *server)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    while (!server->stopping) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS_AT_ONCE, wait_ms(server));
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->handle(source, events[i].events);
        }
        recall_take_changes(server->cache); /* after the requests have come */
        connections_take_turns(server);
        tick(server);
    }
}

/* --- Beginning and end ----------------------------------------------------------------------- */

static int start_threads(struct server *server, struct pkgcache_error *error)
{
    const char *path = pkgcache_path(server->cache);
    const struct pkgcache_options *options = &server->cache_options;
    int result = copier_start(path, options, server->wake_fd, &server->copier, error);
    if (result == 0)
        result = errands_start(path, options, 1, server->wake_fd, &server->leasing, error);
    if (result == 0)
        result = errands_start(path, options, 1, server->wake_fd, &server->upkeep, error);
    if (result == 0)
        result = errands_start(path, options, 1, server->wake_fd, &server->listing, error);
    if (result == 0)
        result =
            errands_start(path, options, READ_AT_ONCE, server->wake_fd, &server->reading, error);
    return result;
}

static int watch_all(struct server *server, struct pkgcache_error *error)
{
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->listening = (struct source){.handle = on_connecting};
    server->waking = (struct source){.handle = on_woken};
    server->signals = (struct source){.handle = on_signal};
    int result = server->epoll_fd < 0 || server->wake_fd < 0 ? -errno : 0;
    if (result == 0)
        result = server_watch(server, server->wake_fd, EPOLLIN, &server->waking);
    if (result == 0)
        result = server_watch(server, server->options->signal_fd, EPOLLIN, &server->signals);
    return result < 0 ? error_set(error, -result, "daemon: %s", strerror(-result)) : 0;
}

static int start(struct server *server, struct pkgcache_error *error)
{
    const struct service_options *options = server->options;
    CLEANUP_FREE char *path = NULL;
    if (peer_rule_read(options->clients, &server->rule) < 0)
        return error_set(
            error, EINVAL,
            "--clients: \"%.100s\" is not owner, everybody, or a group of this machine",
            options->clients);
    int result =
        pkgcache_open(options->cache_path, &server->cache_options, true, &server->cache, error);
    if (result == 0) {
        recall_watch(server->cache);
        server->cache_options.stall_grace_s = server->cache->options.stall_grace_s;
        result = listener_lock(server->cache, &server->listener, error);
    }
    if (result == 0)
        result = watch_all(server, error);
    if (result == 0)
        result = queue_start(server, error);
    if (result == 0) {
        path = options->socket_path ? strdup(options->socket_path)
                                    : listener_default_path(server->cache->path);
        result = path ? listener_open(&server->listener, path, &server->rule, error)
                      : error_set(error, ENOMEM, "out of memory");
    }
    if (result == 0)
        result = start_threads(server, error);
    if (result < 0)
        return result;
    server_watch(server, server->listener.fd, EPOLLIN, &server->listening);
    if (options->on_ready)
        options->on_ready(options->context, path);
    return 0;
}

/* Rolls back what is under way, and says so to whoever waits for it. The server is freed. */
static void stop(struct server *server)
{
    struct timespec until;
    bool ended = true;
    notify_send("STOPPING=1");
    if (server->copier) {
        copier_stop(server->copier);
        jobs_take_done(server);
    }
    struct errands *all[] = {server->queue.errands, server->leasing, server->upkeep,
                             server->listing, server->reading};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        if (all[i])
            errands_stop(all[i]);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S; /* for all of them: what hangs may be what several wait for */
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        if (!all[i])
            continue;
        bool stopped = errands_join(all[i], &until);
        conclude(all[i]);
        if (stopped)
            errands_free(all[i]);
        ended = ended && stopped;
    }
    connections_close(server);
    listener_close(&server->listener);
    holds_free(server);
    if (ended) { /* else its memory is left to the end of the process */
        connections_free(server);
        jobs_free(server);
        copier_free(server->copier);
        cleanup_close_fd(&server->wake_fd);
    }
    cleanup_close_fd(&server->queue.inotify_fd);
    cleanup_close_fd(&server->epoll_fd);
    text_free(&server->unwanted);
    pkgcache_close(server->cache);
    if (ended)
        free(server);
}

int service_run(const struct service_options *options, struct pkgcache_error *ret_error)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return error_set(ret_error, ENOMEM, "out of memory");
    server->options = options;
    server->cache_options = options->cache;
    server->queue_options = options->queue;
    server->clean = options->clean;
    server->epoll_fd = server->wake_fd = -1;
    server->queue.inotify_fd = server->queue.watched = -1;
    server->listener = (struct listener){.fd = -1, .lock_fd = -1};
    server->started_ns = server->busy_ns = clock_monotonic_ns();
    server->watchdog_ns = notify_watchdog_ns();
    connections_init(&server->connections);
    int result = start(server, ret_error);
    if (result == 0) {
        log_write(server->cache, LOGGED_INFO, "Daemon: started");
        notify_send("READY=1");
        precedence_answers(); /* its threads are started, and do not take that over */
        serve(server);
        log_write(server->cache, LOGGED_INFO, "Daemon: stopping");
        result = server->result;
        if (result == -ESTALE)
            error_set(ret_error, ESTALE, "cache %s: it is gone, or another one is in its place",
                      server->cache->path);
    }
    stop(server);
    return result;
}
