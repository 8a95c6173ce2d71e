/*
 * The daemon: its parts put together, and its loop. One thread serves the protocol; it never waits
 * for a source, the lock, or a client. The copier and errands do what would.
 *
 *     loop         descriptors, timers, tasks; errands and the copier wake it by an eventfd(2)
 *     connection   a client's lines
 *     requests     what they ask for; its callback is method_answer
 *     methods      each method, with holds, jobs, look_ups, upkeep and warming to do it
 *     queue        rez's queue
 */
#include "cache/service/service.h"

#include "cache/service/listener.h"
#include "cache/service/methods.h"
#include "cache/service/notify.h"
#include "cache/service/precedence.h"
#include "cache/service/upkeep.h"
#include "cache/store/log.h"
#include "cache/store/recall.h"

#include "engine/clock.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum {
    CONNECTIONS_MAX = 1024,
    CONNECTIONS_OF_USER_MAX = 768, /* so that others, root among them, get in */
    READ_AT_ONCE = 4,              /* warms with sources */
    ACCEPT_AT_ONCE = 64,
    KEEP_MS = 2000,     /* between two checks of the socket and the cache */
    METRICS_MS = 15000, /* between two files */
    STOP_WAIT_S = 1,
    CROWD_CHECK_MS = 100,
    CROWD_PER_S = 50, /* requests, but to copy: so many are a crowd's */
};

/** What nobody but this file knows of. */
struct service {
    struct server server;
    const struct service_options *options;
    struct peer_rule rule;
    struct listener listener;
    int wake_fd; /* an eventfd: a thread has done something */
    struct loop_watch listening;
    struct loop_watch waking;
    struct loop_watch signals;
    struct loop_timer keep_timer;
    struct loop_timer idle_timer;
    struct loop_timer metrics_timer;
    struct loop_timer watchdog_timer;
    uint64_t crowd_ns;       /* when it was last checked whether a crowd asks */
    uint64_t crowd_requests; /* until then, but those to copy */
    uint64_t busy_ns;        /* when there was a client or work last */
    uint64_t copying_ns;     /* when there was work last */
};

/* --- Who comes in ---------------------------------------------------------------------------- */

static unsigned on_request(void *context, const struct call *call, const struct message *message)
{
    return method_answer(context, call, message);
}

static void on_close(struct connection *connection)
{
    struct requests *requests = connection_context(connection);
    struct server *server = requests_context(requests);
    requests_free(connection, requests);
    jobs_end_connection(&server->jobs, connection);
    holds_end_connection(&server->holds, connection);
}

static const struct connection_callbacks connection_callbacks = {
    .on_turn = requests_take_turn,
    .on_close = on_close,
};

/* Says why not, and closes. */
static void refuse_client(struct server *server, int fd, enum message_error code, const char *why)
{
    CLEANUP_TEXT struct text text = {0};
    server->counters.refused++;
    message_append_error(&text, "null", code, 0, why);
    text_append_byte(&text, '\n');
    if (text.error == 0) /* if it does not fit, it is not said */
        (void)!send(fd, text.bytes, text.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void accept_client(struct server *server, int fd, const struct peer *peer)
{
    struct requests *requests = requests_new(&server->reader);
    if (!requests)
        close(fd);
    else if (connection_accept(&server->connections, fd, peer, requests) == 0)
        server->counters.accepted++;
    else
        requests_free(NULL, requests);
}

static void take_client(struct service *service, int fd)
{
    struct server *server = &service->server;
    struct peer peer;
    if (peer_read(fd, &peer) < 0 || !peer_may_ask(&service->rule, fd, &peer))
        refuse_client(server, fd, MESSAGE_FORBIDDEN,
                      "this daemon does not serve your user (--clients)");
    else if (server->connections.count >= CONNECTIONS_MAX ||
             connections_count_of_user(&server->connections, peer.uid) >= CONNECTIONS_OF_USER_MAX)
        refuse_client(server, fd, MESSAGE_BUSY, "too many connections: try again later");
    else
        accept_client(server, fd, &peer);
}

static void on_clients(struct loop_watch *watch, uint32_t events)
{
    struct service *service = CONTAINER_OF(watch, struct service, listening);
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd = accept4(service->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        take_client(service, fd);
    }
}

/* --- What happens ---------------------------------------------------------------------------- */

static void end_errands(struct errands *errands)
{
    struct errand *errand = errands_take_done(errands);
    for (struct errand *next; errand; errand = next) {
        next = errand->next;
        errand->done(errand);
    }
}

static void on_woken(struct loop_watch *watch, uint32_t events)
{
    struct service *service = CONTAINER_OF(watch, struct service, waking);
    struct server *server = &service->server;
    eventfd_t count;
    (void)events;
    eventfd_read(service->wake_fd, &count);
    jobs_take_done(&server->jobs);
    vettings_take_done(&server->vettings);
    end_errands(server->holds.errands);
    end_errands(server->upkeep);
    end_errands(server->listing);
    end_errands(server->reading);
    end_errands(server->queue.errands);
}

/* From now on, all use these. Nothing of this can fail. */
static void use_settings(struct service *service, struct shared_options *options,
                         struct shared_options *queue_options, const struct upkeep_limits *limits)
{
    struct server *server = &service->server;
    server->limits = *limits;
    server->jobs.stall_grace_s = server->vettings.stall_grace_s = options->options.stall_grace_s;
    copier_reload(server->copier, options);
    errands_reload(server->holds.errands, options);
    errands_reload(server->upkeep, options);
    errands_reload(server->listing, options);
    errands_reload(server->reading, options);
    errands_reload(server->queue.errands, queue_options);
}

/* Reads the settings again. They are used if all of them could be read and kept, else none. */
static int read_settings(struct service *service, struct pkgcache_error *error)
{
    const struct service_options *options = service->options;
    struct pkgcache_options cache_options;
    struct pkgcache_options queue_options;
    struct upkeep_limits limits;
    int result =
        options->on_reload(options->context, &cache_options, &queue_options, &limits, error);
    if (result < 0)
        return result;
    CLEANUP_SHARED_OPTIONS struct shared_options *shared = shared_options_new(&cache_options);
    CLEANUP_SHARED_OPTIONS struct shared_options *shared_queue = shared_options_new(&queue_options);
    if (!shared || !shared_queue)
        return error_set(error, ENOMEM, "out of memory");
    use_settings(service, shared, shared_queue, &limits);
    return 0;
}

static void reload_settings(struct service *service)
{
    const struct service_options *options = service->options;
    struct server *server = &service->server;
    struct pkgcache_error error;
    char state[128];
    if (!options->on_reload)
        return;
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(clock_monotonic_ns() / 1000));
    notify_send(state);
    if (read_settings(service, &error) < 0)
        log_write(server->cache, LOGGED_ERROR, "Daemon: settings are unchanged: %s", error.message);
    else
        log_write(server->cache, LOGGED_INFO, "Daemon: settings were read again");
    notify_send("READY=1");
}

static void on_signal(struct loop_watch *watch, uint32_t events)
{
    struct service *service = CONTAINER_OF(watch, struct service, signals);
    struct signalfd_siginfo information;
    (void)events;
    while (read(service->options->signal_fd, &information, sizeof(information)) ==
           (ssize_t)sizeof(information)) {
        if (information.ssi_signo == SIGHUP)
            reload_settings(service);
        else
            loop_stop(&service->server.loop, 0);
    }
}

/* --- Time ------------------------------------------------------------------------------------ */

/* The cache's directory may have been removed, and another made: that is not ours to serve. */
static bool is_cache_there(const struct pkgcache *cache)
{
    struct stat status;
    return stat(cache->path, &status) == 0 && status.st_dev == cache->root.st_dev &&
           status.st_ino == cache->root.st_ino;
}

static void on_keep_time(struct loop_timer *timer)
{
    struct service *service = CONTAINER_OF(timer, struct service, keep_timer);
    struct server *server = &service->server;
    if (!is_cache_there(server->cache))
        loop_stop(&server->loop, -ESTALE);
    if (server->loop.stopping)
        return;
    if (listener_keep(&service->listener))
        loop_watch_fd(&server->loop, service->listener.fd, EPOLLIN, &service->listening);
    queue_check(&server->queue);
    if (clock_monotonic_ns() - service->copying_ns >= server->limits.share_idle_s * NS_PER_S)
        upkeep_share(server);
}

static void on_metrics_time(struct loop_timer *timer)
{
    struct service *service = CONTAINER_OF(timer, struct service, metrics_timer);
    upkeep_write_metrics(&service->server);
}

static void on_watchdog_time(struct loop_timer *timer)
{
    (void)timer;
    notify_send("WATCHDOG=1");
}

static void on_idle_time(struct loop_timer *timer)
{
    struct service *service = CONTAINER_OF(timer, struct service, idle_timer);
    if (clock_monotonic_ns() - service->busy_ns > service->options->idle_exit_s * NS_PER_S)
        loop_stop(&service->server.loop, 0);
}

static bool is_copying(const struct server *server)
{
    return server->jobs.count > 0 || server->jobs.work_count > 0 || server->queue.busy;
}

static bool is_idle(const struct server *server)
{
    return server->connections.count == 0 && !is_copying(server);
}

/* A crowd of clients is left a processor; see precedence.c. With two processors, 99 of 100 answers
 * come within 0.7 ms then, instead of 1.3. Who only has things copied waits for copies anyway. */
static void check_crowd(struct service *service, uint64_t now_ns)
{
    const struct counters *counters = &service->server.counters;
    uint64_t elapsed_ns = now_ns - service->crowd_ns;
    uint64_t requests = counters->requests - counters->warms;
    if (elapsed_ns < CROWD_CHECK_MS * NS_PER_MS)
        return;
    precedence_leave_processor((requests - service->crowd_requests) * NS_PER_S >
                               CROWD_PER_S * elapsed_ns);
    service->crowd_ns = now_ns;
    service->crowd_requests = requests;
}

static void start_timers(struct service *service)
{
    struct loop *loop = &service->server.loop;
    const struct service_options *options = service->options;
    uint64_t watchdog_ns = notify_watchdog_ns();
    service->keep_timer.on_time = on_keep_time;
    service->idle_timer.on_time = on_idle_time;
    service->metrics_timer.on_time = on_metrics_time;
    service->watchdog_timer.on_time = on_watchdog_time;
    loop_start_timer(loop, &service->keep_timer, KEEP_MS * NS_PER_MS);
    if (options->idle_exit_s)
        loop_start_timer(loop, &service->idle_timer, NS_PER_S);
    if (options->metrics_path)
        loop_start_timer(loop, &service->metrics_timer, METRICS_MS * NS_PER_MS);
    if (watchdog_ns)
        loop_start_timer(loop, &service->watchdog_timer, watchdog_ns);
}

static void run_loop(struct service *service)
{
    struct server *server = &service->server;
    while (!server->loop.stopping) {
        loop_wait_events(&server->loop);
        recall_take_changes(server->cache); /* after the requests have come */
        loop_run_tasks(&server->loop);
        uint64_t now_ns = clock_monotonic_ns();
        if (!is_idle(server))
            service->busy_ns = now_ns;
        if (is_copying(server))
            service->copying_ns = now_ns;
        check_crowd(service, now_ns);
        loop_run_timers(&server->loop);
    }
}

/* --- Beginning and end ----------------------------------------------------------------------- */

static int start_threads(struct service *service, struct pkgcache_error *error)
{
    struct server *server = &service->server;
    const char *path = pkgcache_path(server->cache);
    int wake_fd = service->wake_fd;
    CLEANUP_SHARED_OPTIONS struct shared_options *options =
        shared_options_new(&service->options->cache);
    if (!options)
        return error_set(error, ENOMEM, "out of memory");
    int result = copier_start(path, options, wake_fd, &server->copier, error);
    if (result == 0)
        result = errands_start(path, options, 1, wake_fd, &server->holds.errands, error);
    if (result == 0)
        result = errands_start(path, options, 1, wake_fd, &server->upkeep, error);
    if (result == 0)
        result = errands_start(path, options, 1, wake_fd, &server->listing, error);
    if (result == 0)
        result = errands_start(path, options, READ_AT_ONCE, wake_fd, &server->reading, error);
    server->jobs.copier = server->copier;
    server->jobs.reading = server->reading;
    server->vettings.wake_fd = service->wake_fd;
    return result;
}

static int open_loop(struct service *service, struct pkgcache_error *error)
{
    struct loop *loop = &service->server.loop;
    int result = loop_open(loop);
    service->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    service->listening.on_events = on_clients;
    service->waking.on_events = on_woken;
    service->signals.on_events = on_signal;
    if (result == 0 && service->wake_fd < 0)
        result = -errno;
    if (result == 0)
        result = loop_watch_fd(loop, service->wake_fd, EPOLLIN, &service->waking);
    if (result == 0)
        result = loop_watch_fd(loop, service->options->signal_fd, EPOLLIN, &service->signals);
    return result < 0 ? error_set(error, -result, "daemon: %s", strerror(-result)) : 0;
}

/* Has the parts know each other. */
static void connect_parts(struct service *service)
{
    struct server *server = &service->server;
    server->connections = (struct connections){
        .loop = &server->loop,
        .callbacks = &connection_callbacks,
        .counters = &server->counters,
    };
    server->reader.on_request = on_request;
    server->reader.context = server;
    server->reader.counters = &server->counters;
    server->jobs = (struct jobs){
        .loop = &server->loop,
        .cache = server->cache,
        .connections = &server->connections,
        .counters = &server->counters,
        .stall_grace_s = server->cache->options.stall_grace_s,
    };
    jobs_init(&server->jobs);
    server->vettings = (struct vettings){
        .loop = &server->loop,
        .cache = server->cache,
        .stall_grace_s = server->cache->options.stall_grace_s,
        .repositories = service->options->repositories,
    };
    server->holds.loop = server->queue.loop = &server->loop;
    server->queue.cache = server->cache;
}

static int start_queue(struct service *service, struct pkgcache_error *error)
{
    CLEANUP_SHARED_OPTIONS struct shared_options *options =
        shared_options_new(&service->options->queue);
    return options ? queue_start(&service->server.queue, options, service->wake_fd, error)
                   : error_set(error, ENOMEM, "out of memory");
}

static int start_service(struct service *service, struct pkgcache_error *error)
{
    const struct service_options *options = service->options;
    struct server *server = &service->server;
    CLEANUP_FREE char *path = NULL;
    if (peer_rule_read(options->clients, &service->rule) < 0)
        return error_set(
            error, EINVAL,
            "--clients: \"%.100s\" is not owner, everybody, or a group of this machine",
            options->clients);
    int result = pkgcache_open(options->cache_path, &options->cache, true, &server->cache, error);
    if (result == 0) {
        recall_watch(server->cache);
        connect_parts(service);
        result = listener_lock(server->cache, &service->listener, error);
    }
    if (result == 0)
        result = open_loop(service, error);
    if (result == 0)
        result = start_queue(service, error);
    if (result == 0) {
        path = options->socket_path ? strdup(options->socket_path)
                                    : listener_default_path(server->cache->path);
        result = path
                     ? listener_open(&service->listener, server->cache, path, &service->rule, error)
                     : error_set(error, ENOMEM, "out of memory");
    }
    if (result == 0)
        result = start_threads(service, error);
    if (result < 0)
        return result;
    loop_watch_fd(&server->loop, service->listener.fd, EPOLLIN, &service->listening);
    start_timers(service);
    if (options->on_ready)
        options->on_ready(options->context, path);
    return 0;
}

/* Has all errands end. Returns whether they did. */
static bool stop_errands(struct server *server)
{
    struct timespec until;
    bool ended = true;
    struct errands *all[] = {server->queue.errands, server->holds.errands, server->upkeep,
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
        end_errands(all[i]);
        if (stopped)
            errands_free(all[i]);
        ended = ended && stopped;
    }
    return ended;
}

/* Rolls back what is under way, and says so to whoever waits for it. The service is freed. */
static void stop_service(struct service *service)
{
    struct server *server = &service->server;
    notify_send("STOPPING=1");
    if (server->copier) {
        copier_stop(server->copier);
        jobs_take_done(&server->jobs);
    }
    vettings_end(&server->vettings);
    bool ended = stop_errands(server);
    connections_close(&server->connections);
    listener_close(&service->listener);
    holds_free(&server->holds);
    if (ended) { /* else its memory is left to the end of the process */
        connections_free(&server->connections);
        jobs_free(&server->jobs);
        copier_free(server->copier);
        cleanup_close_fd(&service->wake_fd);
    }
    cleanup_close_fd(&server->queue.inotify_fd);
    loop_close(&server->loop);
    pkgcache_close(server->cache);
    if (ended)
        free(service);
}

int service_run(const struct service_options *options, struct pkgcache_error *ret_error)
{
    struct service *service = calloc(1, sizeof(*service));
    if (!service)
        return error_set(ret_error, ENOMEM, "out of memory");
    struct server *server = &service->server;
    service->options = options;
    service->listener = (struct listener){.fd = -1, .lock_fd = -1, .sys_fd = -1};
    service->wake_fd = -1;
    service->busy_ns = service->copying_ns = clock_monotonic_ns();
    server->loop.epoll_fd = -1;
    server->limits = options->upkeep;
    server->version = options->version;
    server->metrics_path = options->metrics_path;
    server->started_ns = service->busy_ns;
    server->queue.inotify_fd = server->queue.watched = -1;
    int result = start_service(service, ret_error);
    if (result == 0) {
        log_write(server->cache, LOGGED_INFO, "Daemon: started");
        notify_send("READY=1");
        precedence_answers(); /* its threads are started, and do not take that over */
        run_loop(service);
        log_write(server->cache, LOGGED_INFO, "Daemon: stopping");
        result = server->loop.result;
        if (result == -ESTALE)
            error_set(ret_error, ESTALE, "cache %s: its directory was removed or replaced",
                      server->cache->path);
    }
    stop_service(service);
    return result;
}
