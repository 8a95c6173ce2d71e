/*
 * Connections. One that has ended stays, without its socket, until it is kept no more.
 */
#include "cache/service/connection.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    READ_BYTES = 64 << 10,
    TURN_LOOK_UPS = 32,
    OUT_PAUSE_BYTES = 256 << 10, /* not read yet: nothing new is begun */
    OUT_MAX_BYTES = 32 << 20,    /* not read yet: the connection is closed */
    KEPT_BYTES = 16 << 10,       /* buffers that are larger are freed when they are empty */
    ALL_BYTES_MAX = 256 << 20,   /* of all connections */
    SUBSCRIPTIONS_MAX = 16,
    CLOSE_WAIT_MS = 500,
};

struct connection {
    struct loop_watch watch;
    struct loop_task turn;
    struct connections *all;
    struct connection *next;
    struct connection *previous;
    void *context;
    uint64_t number;
    int fd; /* -1: it has ended */
    struct peer peer;
    unsigned keepers;
    uint32_t events; /* that are waited for */
    bool in_turn;
    bool ended;   /* the peer sends no more */
    bool hung_up; /* and reads no more */
    bool failed;  /* to be closed */
    bool is_subscribed_to_all;
    uint64_t subscriptions[SUBSCRIPTIONS_MAX]; /* jobs */
    size_t subscription_count;
    size_t counted_bytes; /* of all->buffered_bytes */
    size_t held_bytes;    /* see connection_set_held_bytes */
    struct text in;
    size_t taken;   /* of `in` */
    size_t scanned; /* of `in`: there is no line feed up to here */
    struct text out;
    size_t sent; /* of `out` */
};

/* How many bytes were not sent yet. */
static size_t count_unsent(const struct connection *connection)
{
    return connection->out.length - connection->sent;
}

static void request_turn(struct connection *connection)
{
    loop_add_task(connection->all->loop, &connection->turn);
}

void *connection_context(const struct connection *connection)
{
    return connection->context;
}

const struct peer *connection_peer(const struct connection *connection)
{
    return &connection->peer;
}

int connection_read_groups(const struct connection *connection, gid_t **ret_groups,
                           size_t *ret_count)
{
    return connection->fd < 0
               ? -ENOTCONN
               : peer_read_groups(connection->fd, &connection->peer, ret_groups, ret_count);
}

uint64_t connection_number(const struct connection *connection)
{
    return connection->number;
}

struct counters *connection_counters(const struct connection *connection)
{
    return connection->all->counters;
}

bool connection_is_open(const struct connection *connection)
{
    return connection->fd >= 0;
}

void connection_set_held_bytes(struct connection *connection, size_t bytes)
{
    connection->held_bytes = bytes;
}

void connection_keep(struct connection *connection)
{
    connection->keepers++;
}

void connection_release(struct connection *connection)
{
    connection->keepers--;
    request_turn(connection); /* it may be the last that it waited for */
}

/* --- Subscriptions --------------------------------------------------------------------------- */

int connection_subscribe(struct connection *connection, uint64_t job)
{
    if (job == 0)
        connection->is_subscribed_to_all = true;
    else if (connection->subscription_count == SUBSCRIPTIONS_MAX)
        return -ENOSPC;
    else
        connection->subscriptions[connection->subscription_count++] = job;
    return 0;
}

void connection_unsubscribe(struct connection *connection, uint64_t job)
{
    uint64_t *jobs = connection->subscriptions;
    for (size_t i = 0; i < connection->subscription_count; i++)
        if (jobs[i] == job) {
            jobs[i] = jobs[--connection->subscription_count];
            return;
        }
}

/* Whether a connection wants to hear of a job, and reads fast enough for that. */
static bool wants_job(const struct connection *connection, uint64_t job)
{
    bool wants = connection->is_subscribed_to_all;
    for (size_t i = 0; i < connection->subscription_count; i++)
        wants = wants || connection->subscriptions[i] == job;
    return wants && connection->fd >= 0 && count_unsent(connection) < OUT_PAUSE_BYTES;
}

bool connections_want_job(const struct connections *connections, uint64_t job)
{
    for (const struct connection *connection = connections->first; connection;
         connection = connection->next)
        if (wants_job(connection, job))
            return true;
    return false;
}

void connections_notify(struct connections *connections, uint64_t job, const struct text *text)
{
    for (struct connection *connection = connections->first; connection;
         connection = connection->next) {
        if (!wants_job(connection, job))
            continue;
        text_append(&connection->out, text->bytes, text->length);
        request_turn(connection);
    }
}

/* --- Output ---------------------------------------------------------------------------------- */

struct text *connection_output(struct connection *connection)
{
    return &connection->out;
}

void connection_end_line(struct connection *connection)
{
    text_append_byte(&connection->out, '\n');
    if (connection->out.error < 0 || count_unsent(connection) > OUT_MAX_BYTES)
        connection->failed = true;
    if (!connection->in_turn)
        request_turn(connection);
}

static void send_output(struct connection *connection)
{
    while (connection->fd >= 0 && count_unsent(connection) > 0) {
        ssize_t sent = send(connection->fd, connection->out.bytes + connection->sent,
                            count_unsent(connection), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                connection->failed = true;
            break;
        }
        connection->sent += (size_t)sent;
    }
    if (connection->fd < 0 || connection->failed || count_unsent(connection) == 0)
        connection->out.length = connection->sent = 0;
    if (connection->out.length == 0 && connection->out.capacity > KEPT_BYTES)
        text_free(&connection->out);
}

/* --- Input ----------------------------------------------------------------------------------- */

int connection_take_line(struct connection *connection, const char **ret_line, size_t *ret_length)
{
    struct text *in = &connection->in;
    const char *begin = in->bytes + connection->taken;
    const char *feed =
        in->length > connection->scanned
            ? memchr(in->bytes + connection->scanned, '\n', in->length - connection->scanned)
            : NULL;
    if (feed) {
        connection->taken = connection->scanned = (size_t)(feed - in->bytes) + 1;
        *ret_line = begin;
        *ret_length = (size_t)(feed - begin);
        return 1;
    }
    connection->scanned = in->length;
    if (in->length - connection->taken < CONNECTION_LINE_MAX)
        return 0;
    connection->all->counters->dropped++;
    connection->ended = true;
    connection->taken = in->length;
    return -EMSGSIZE;
}

/* Makes room where the input begins. Of a client that is far ahead with its requests, up to a MiB
 * is left: that is not moved for a few lines that were taken. */
static void move_input(struct connection *connection)
{
    struct text *in = &connection->in;
    size_t untaken = in->length - connection->taken;
    bool has_room = in->capacity - in->length > READ_BYTES;
    if (connection->taken == 0 || (untaken > connection->taken && has_room))
        return;
    in->length -= connection->taken;
    memmove(in->bytes, in->bytes + connection->taken, in->length);
    connection->scanned -= connection->taken;
    connection->taken = 0;
    if (in->length == 0 && in->capacity > KEPT_BYTES)
        text_free(in);
}

static void receive_input(struct connection *connection)
{
    struct text *in = &connection->in;
    move_input(connection);
    if (text_reserve(in, READ_BYTES) < 0) {
        connection->failed = true;
        return;
    }
    ssize_t bytes = recv(connection->fd, in->bytes + in->length, READ_BYTES, MSG_DONTWAIT);
    if (bytes > 0)
        in->length += (size_t)bytes;
    else if (bytes == 0)
        connection->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        connection->failed = true;
}

/* --- Turns ----------------------------------------------------------------------------------- */

static void count_buffers(struct connection *connection)
{
    struct connections *all = connection->all;
    size_t bytes = connection->in.capacity + connection->out.capacity + connection->held_bytes;
    all->buffered_bytes += bytes - connection->counted_bytes;
    connection->counted_bytes = bytes;
    if (all->buffered_bytes > ALL_BYTES_MAX && bytes / 2 > KEPT_BYTES)
        connection->failed = true;
}

static void watch_socket(struct connection *connection)
{
    uint32_t events = 0;
    size_t untaken = connection->in.length - connection->taken;
    if (!connection->ended && untaken < CONNECTION_LINE_MAX &&
        count_unsent(connection) < OUT_PAUSE_BYTES)
        events |= EPOLLIN;
    if (count_unsent(connection) > 0)
        events |= EPOLLOUT;
    if (events == connection->events || connection->hung_up)
        return;
    connection->events = events;
    loop_set_events(connection->all->loop, connection->fd, events, &connection->watch);
}

static void on_events(struct loop_watch *watch, uint32_t events)
{
    struct connection *connection = CONTAINER_OF(watch, struct connection, watch);
    if (connection->fd < 0)
        return;
    if (events & EPOLLIN && !connection->ended)
        receive_input(connection);
    if (events & (EPOLLHUP | EPOLLERR) && (connection->ended || !(events & EPOLLIN))) {
        /* it will not stop to say so */
        loop_unwatch_fd(connection->all->loop, connection->fd);
        connection->ended = connection->hung_up = true;
    }
    request_turn(connection);
}

static void end_connection(struct connection *connection)
{
    close(connection->fd); /* and epoll forgets it */
    connection->fd = -1;
    connection->all->callbacks->on_close(connection);
    connection->context = NULL;
    text_free(&connection->in);
    text_free(&connection->out);
    connection->sent = connection->taken = connection->scanned = 0;
}

static void free_connection(struct connection *connection)
{
    struct connections *all = connection->all;
    all->buffered_bytes -= connection->counted_bytes;
    all->count--;
    *(connection->previous ? &connection->previous->next : &all->first) = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    text_free(&connection->out);
    free(connection);
}

/* Does some of what was asked. Returns whether there may be more to do. */
static bool serve_requests(struct connection *connection)
{
    unsigned cost = 0;
    while (!connection->failed && cost < TURN_LOOK_UPS &&
           count_unsent(connection) < OUT_PAUSE_BYTES)
        if (!connection->all->callbacks->on_turn(connection, &cost))
            return false;
    return true;
}

static void take_turn(struct loop_task *task)
{
    struct connection *connection = CONTAINER_OF(task, struct connection, turn);
    bool more = false;
    if (connection->fd >= 0) {
        connection->in_turn = true;
        more = serve_requests(connection);
        connection->in_turn = false;
        send_output(connection);
        count_buffers(connection);
        bool over = connection->ended && !more && count_unsent(connection) == 0 &&
                    (connection->hung_up || connection->keepers == 0);
        if (connection->failed || over)
            end_connection(connection);
        else
            watch_socket(connection);
    }
    if (connection->fd < 0 && connection->keepers == 0 && !connection->turn.queued)
        free_connection(connection);
    else if (connection->fd >= 0 && more && count_unsent(connection) < OUT_PAUSE_BYTES)
        request_turn(connection);
}

/* --- All of them ----------------------------------------------------------------------------- */

size_t connections_count_of_user(const struct connections *connections, uid_t uid)
{
    size_t count = 0;
    for (const struct connection *connection = connections->first; connection;
         connection = connection->next)
        count += connection->peer.uid == uid;
    return count;
}

void connections_close(struct connections *connections)
{
    uint64_t until_ns = clock_monotonic_ns() + CLOSE_WAIT_MS * NS_PER_MS;
    for (struct connection *connection = connections->first, *next; connection; connection = next) {
        next = connection->next;
        if (connection->fd < 0)
            continue;
        send_output(connection);
        while (count_unsent(connection) > 0 && clock_monotonic_ns() < until_ns) {
            struct pollfd fd = {.fd = connection->fd, .events = POLLOUT};
            if (poll(&fd, 1, CLOSE_WAIT_MS) <= 0)
                break;
            send_output(connection);
        }
        end_connection(connection);
    }
}

void connections_free(struct connections *connections)
{
    while (connections->first)
        free_connection(connections->first);
}

int connection_accept(struct connections *connections, int fd, const struct peer *peer,
                      void *context)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    int result = connection ? 0 : -ENOMEM;
    if (connection) {
        *connection = (struct connection){
            .watch = {.on_events = on_events},
            .turn = {.run = take_turn},
            .all = connections,
            .context = context,
            .number = ++connections->last_number,
            .fd = fd,
            .peer = *peer,
            .events = EPOLLIN,
            .next = connections->first,
        };
        result = loop_watch_fd(connections->loop, fd, EPOLLIN, &connection->watch);
    }
    if (result < 0) {
        close(fd);
        free(connection);
        return result;
    }
    if (connections->first)
        connections->first->previous = connection;
    connections->first = connection;
    connections->count++;
    return 0;
}
