/*
 * Connections. One that has ended stays, without its socket, until the last answer is given.
 *
 *     connection.c           sockets, turns, and who hears of what
 *     connection_requests.c  what is asked
 *     connection_answers.c   what is answered
 */
#include "cache/service/connection_parts.h"

#include "engine/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    READ_BYTES = 64 << 10,
    CLOSE_WAIT_MS = 500,
};

void connections_init(struct connections *connections)
{
    *connections = (struct connections){.ready_last = &connections->ready};
}

void connection_make_ready(struct connection *connection)
{
    struct connections *connections = &connection->source.server->connections;
    if (connection->ready)
        return;
    connection->ready = true;
    connection->next_ready = NULL;
    *connections->ready_last = connection;
    connections->ready_last = &connection->next_ready;
}

/* --- Subscriptions --------------------------------------------------------------------------- */

const struct peer *connection_peer(const struct connection *connection)
{
    return &connection->peer;
}

uint64_t connection_number(const struct connection *connection)
{
    return connection->number;
}

int connection_subscribe(struct connection *connection, uint64_t job)
{
    if (job == 0)
        connection->hears_of_all = true;
    else if (connection->hears_of_count == SUBSCRIPTIONS_MAX)
        return -ENOSPC;
    else
        connection->hears_of[connection->hears_of_count++] = job;
    return 0;
}

void connection_unsubscribe(struct connection *connection, uint64_t job)
{
    for (size_t i = 0; i < connection->hears_of_count; i++)
        if (connection->hears_of[i] == job) {
            connection->hears_of[i] = connection->hears_of[--connection->hears_of_count];
            return;
        }
}

bool connection_hears_of(const struct connection *connection, uint64_t job)
{
    bool hears = connection->hears_of_all;
    for (size_t i = 0; i < connection->hears_of_count; i++)
        hears = hears || connection->hears_of[i] == job;
    return hears && connection->fd >= 0 && connection_unsent(connection) < OUT_PAUSE_BYTES;
}

struct connection *connection_next(const struct server *server, const struct connection *before)
{
    return before ? before->next : server->connections.first;
}

void connection_notify(struct connection *connection, const struct text *text)
{
    text_append(&connection->out, text->bytes, text->length);
    connection_make_ready(connection);
}

/* --- Sockets --------------------------------------------------------------------------------- */

static void flush(struct connection *connection)
{
    while (connection->fd >= 0 && connection_unsent(connection) > 0) {
        ssize_t sent = send(connection->fd, connection->out.bytes + connection->sent,
                            connection_unsent(connection), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                connection->failed = true;
            break;
        }
        connection->sent += (size_t)sent;
    }
    if (connection->fd < 0 || connection->failed || connection_unsent(connection) == 0)
        connection->out.length = connection->sent = 0;
    if (connection->out.length == 0 && connection->out.capacity > KEPT_BYTES)
        text_free(&connection->out);
}

static void count_buffers(struct connection *connection)
{
    struct server *server = connection->source.server;
    size_t bytes =
        connection->in.capacity + connection->out.capacity + connection->many.text.capacity;
    server->connections.buffered += bytes - connection->counted;
    connection->counted = bytes;
    if (server->connections.buffered > SERVER_BUFFERS_MAX && bytes / 2 > KEPT_BYTES)
        connection->failed = true;
}

static void watch(struct connection *connection)
{
    struct epoll_event event = {.data.ptr = &connection->source};
    size_t waiting = connection->in.length - connection->taken;
    if (!connection->ended && waiting < MESSAGE_MAX &&
        connection_unsent(connection) < OUT_PAUSE_BYTES)
        event.events |= EPOLLIN;
    if (connection_unsent(connection) > 0)
        event.events |= EPOLLOUT;
    if (event.events == connection->events || connection->hung_up)
        return;
    connection->events = event.events;
    epoll_ctl(connection->source.server->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

/* Makes room where the input begins. */
static void move_input(struct connection *connection)
{
    struct text *in = &connection->in;
    if (connection->taken == 0)
        return;
    in->length -= connection->taken;
    memmove(in->bytes, in->bytes + connection->taken, in->length);
    connection->scanned -= connection->taken;
    connection->taken = 0;
    if (in->length == 0 && in->capacity > KEPT_BYTES)
        text_free(in);
}

static void receive(struct connection *connection)
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

static void on_events(struct source *source, uint32_t events)
{
    struct connection *connection = CONTAINER_OF(source, struct connection, source);
    if (connection->fd < 0)
        return;
    if (events & EPOLLIN && !connection->ended)
        receive(connection);
    if (events & (EPOLLHUP | EPOLLERR) && (connection->ended || !(events & EPOLLIN))) {
        /* it will not stop to say so */
        epoll_ctl(source->server->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        connection->ended = connection->hung_up = true;
    }
    connection_make_ready(connection);
}

static void end_connection(struct connection *connection)
{
    struct server *server = connection->source.server;
    close(connection->fd); /* and epoll forgets it */
    connection->fd = -1;
    connection_forget_requests(connection);
    text_free(&connection->in);
    text_free(&connection->out);
    connection->sent = connection->taken = connection->scanned = 0;
    jobs_forget(server, connection);
    holds_forget(server, connection);
}

static void free_connection(struct connection *connection)
{
    struct server *server = connection->source.server;
    server->connections.buffered -= connection->counted;
    server->connections.count--;
    *(connection->previous ? &connection->previous->next : &server->connections.first) =
        connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    text_free(&connection->out);
    free(connection);
}

static void take_turn(struct connection *connection)
{
    bool more = false;
    if (connection->fd >= 0) {
        connection->in_turn = true;
        more = connection_work(connection);
        connection->in_turn = false;
        flush(connection);
        count_buffers(connection);
        bool over = connection->ended && !more && connection_unsent(connection) == 0 &&
                    (connection->hung_up || connection->calls == 0);
        if (connection->failed || over)
            end_connection(connection);
        else
            watch(connection);
    }
    if (connection->fd < 0 && connection->calls == 0 && !connection->ready)
        free_connection(connection);
    else if (connection->fd >= 0 && more && connection_unsent(connection) < OUT_PAUSE_BYTES)
        connection_make_ready(connection);
}

void connections_take_turns(struct server *server)
{
    struct connections *connections = &server->connections;
    struct connection *connection = connections->ready;
    connections->ready = NULL;
    connections->ready_last = &connections->ready;
    for (struct connection *next; connection; connection = next) {
        next = connection->next_ready;
        connection->ready = false;
        take_turn(connection);
    }
}

bool connections_are_ready(const struct connections *connections)
{
    return connections->ready;
}

size_t connections_of(const struct server *server, uid_t uid)
{
    size_t count = 0;
    for (const struct connection *connection = server->connections.first; connection;
         connection = connection->next)
        count += connection->peer.uid == uid;
    return count;
}

void connections_close(struct server *server)
{
    uint64_t until_ns = clock_monotonic_ns() + CLOSE_WAIT_MS * NS_PER_MS;
    for (struct connection *connection = server->connections.first, *next; connection;
         connection = next) {
        next = connection->next;
        if (connection->fd < 0)
            continue;
        flush(connection);
        while (connection_unsent(connection) > 0 && clock_monotonic_ns() < until_ns) {
            struct pollfd fd = {.fd = connection->fd, .events = POLLOUT};
            if (poll(&fd, 1, CLOSE_WAIT_MS) <= 0)
                break;
            flush(connection);
        }
        end_connection(connection);
    }
}

void connections_free(struct server *server)
{
    while (server->connections.first)
        free_connection(server->connections.first);
}

int connection_accept(struct server *server, int fd, const struct peer *peer)
{
    struct connections *connections = &server->connections;
    struct connection *connection = calloc(1, sizeof(*connection));
    int result = connection ? 0 : -ENOMEM;
    if (connection) {
        *connection = (struct connection){
            .source = {.handle = on_events},
            .number = ++connections->numbers,
            .fd = fd,
            .peer = *peer,
            .events = EPOLLIN,
            .next = connections->first,
        };
        result = server_watch(server, fd, EPOLLIN, &connection->source);
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
