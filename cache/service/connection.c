/* Connections. One that has ended stays, without its socket, until the last answer is given. */
#include "cache/service/connection.h"

#include "cache/service/holds.h"
#include "cache/service/methods.h"
#include "cache/service/server.h"

#include "engine/clock.h"

#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    READ_BYTES = 64 << 10,
    TURN_LOOK_UPS = 32,
    OUT_PAUSE_BYTES = 256 << 10, /* not read yet: nothing new is begun */
    OUT_MAX_BYTES = 32 << 20,    /* not read yet: it is let go */
    SHORT_MESSAGE = 2048,        /* bytes; dealt with in one turn */
    KEPT_BYTES = 16 << 10,       /* buffers that are larger are freed when they are empty */
    SUBSCRIPTIONS_MAX = 16,
    CLOSE_WAIT_MS = 500,
};

/* A get_many under way. */
struct many {
    struct call call;
    const struct json *next; /* handle; NULL: all are done */
    struct text text;
    bool active;
    bool touch;
};

struct connection {
    struct source source;
    struct connection *next;
    struct connection *previous;
    struct connection *next_ready;
    uint64_t number;
    int fd; /* -1: it has ended */
    struct peer peer;
    unsigned calls;  /* that are kept */
    uint32_t events; /* that are waited for */
    bool ready;
    bool in_turn;
    bool ended;   /* the peer sends no more */
    bool hung_up; /* and reads no more */
    bool failed;  /* to be closed */
    bool hears_of_all;
    uint64_t hears_of[SUBSCRIPTIONS_MAX];
    size_t hears_of_count;
    size_t counted; /* bytes that it is known to buffer */
    struct text in;
    size_t taken;   /* of `in` */
    size_t scanned; /* of `in`: there is no line feed up to here */
    struct text out;
    size_t sent; /* of `out` */
    struct json_document
        *document; /* of what is under way; NULL: in the server's room, or nothing */
    struct batch *batch;
    const struct json *next_request; /* of the batch; NULL: none is left */
    struct many many;
};

void connections_init(struct connections *connections)
{
    *connections = (struct connections){.ready_last = &connections->ready};
}

static void make_ready(struct connection *connection)
{
    struct connections *connections = &connection->source.server->connections;
    if (connection->ready)
        return;
    connection->ready = true;
    connection->next_ready = NULL;
    *connections->ready_last = connection;
    connections->ready_last = &connection->next_ready;
}

bool call_is_open(const struct call *call)
{
    return call->connection->fd >= 0;
}

static size_t unsent(const struct connection *connection)
{
    return connection->out.length - connection->sent;
}

/* --- Answers --------------------------------------------------------------------------------- */

static void flush(struct connection *connection)
{
    while (connection->fd >= 0 && unsent(connection) > 0) {
        ssize_t sent = send(connection->fd, connection->out.bytes + connection->sent,
                            unsent(connection), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                connection->failed = true;
            break;
        }
        connection->sent += (size_t)sent;
    }
    if (connection->fd < 0 || connection->failed || unsent(connection) == 0)
        connection->out.length = connection->sent = 0;
    if (connection->out.length == 0 && connection->out.capacity > KEPT_BYTES)
        text_free(&connection->out);
}

/* Ends a message in the output. */
static void end_line(struct connection *connection)
{
    text_append_byte(&connection->out, '\n');
    if (connection->out.error < 0 || unsent(connection) > OUT_MAX_BYTES)
        connection->failed = true;
    if (!connection->in_turn)
        make_ready(connection);
}

static void end_batch(struct batch *batch, struct connection *connection)
{
    if (--batch->open > 0)
        return;
    if (batch->text.length > 0) {
        text_append(&connection->out, batch->text.bytes, batch->text.length);
        text_append_byte(&connection->out, ']');
        end_line(connection);
    }
    text_free(&batch->text);
    free(batch);
}

static struct text *begin(const struct call *call)
{
    struct batch *batch = call->batch;
    if (!batch)
        return &call->connection->out;
    text_append_string(&batch->text, batch->text.length > 0 ? ", " : "[");
    return &batch->text;
}

bool call_is_wanted(const struct call *call)
{
    return call_is_open(call) && !call->silent;
}

struct text *call_begin(const struct call *call)
{
    struct text *text = &call->connection->source.server->unwanted;
    text->length = 0;
    if (call_is_wanted(call))
        text = begin(call);
    message_begin_result(text, call->id);
    return text;
}

/* Ends a call that nobody waits for. */
static void drop(const struct call *call)
{
    if (call->batch)
        end_batch(call->batch, call->connection);
}

static void end(const struct call *call)
{
    if (call->batch)
        end_batch(call->batch, call->connection);
    else
        end_line(call->connection);
}

void call_end(const struct call *call)
{
    if (!call_is_wanted(call)) {
        drop(call);
        return;
    }
    text_append_byte(call->batch ? &call->batch->text : &call->connection->out, '}');
    end(call);
}

void call_fail(const struct call *call, enum message_error code, int code_errno, const char *format,
               ...)
{
    CLEANUP_FREE char *why = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&why, format, arguments) < 0)
        why = NULL;
    va_end(arguments);
    call->connection->source.server->counters.errors++;
    if (!call_is_wanted(call)) {
        drop(call);
        return;
    }
    message_write_error(begin(call), call->id, code, code_errno, why ? why : "out of memory");
    end(call);
}

struct call *call_keep(const struct call *call)
{
    struct call *kept = malloc(sizeof(*kept));
    if (!kept)
        return NULL;
    *kept = *call;
    kept->connection->calls++;
    return kept;
}

void call_free(struct call *call)
{
    if (!call)
        return;
    call->connection->calls--;
    make_ready(call->connection); /* it may be the last that it waited for */
    free(call);
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
    return hears && connection->fd >= 0 && unsent(connection) < OUT_PAUSE_BYTES;
}

struct connection *connection_next(const struct server *server, const struct connection *before)
{
    return before ? before->next : server->connections.first;
}

void connection_notify(struct connection *connection, const struct text *text)
{
    text_append(&connection->out, text->bytes, text->length);
    make_ready(connection);
}

/* --- Requests -------------------------------------------------------------------------------- */

void connection_look_up_many(struct connection *connection, const struct call *call,
                             const struct json *handles, bool touch)
{
    connection->many =
        (struct many){.call = *call, .next = handles->first, .active = true, .touch = touch};
}

/* Looks up one more of a get_many, or answers it. Returns what that cost. */
static unsigned look_up_next(struct connection *connection)
{
    struct many *many = &connection->many;
    if (many->next) {
        if (many->text.length > 0)
            text_append_string(&many->text, ", ");
        method_look_up(connection->source.server, many->next, many->touch, &many->text);
        many->next = many->next->next;
        return 1;
    }
    many->active = false;
    if (many->text.error < 0) {
        call_fail(&many->call, MESSAGE_FAILED, ENOMEM, "out of memory");
    } else {
        struct text *answer = call_begin(&many->call);
        text_append_string(answer, "{\"variants\": [");
        text_append(answer, many->text.length ? many->text.bytes : "", many->text.length);
        text_append_string(answer, "]}");
        call_end(&many->call);
    }
    text_free(&many->text);
    return 0;
}

static void end_document(struct connection *connection)
{
    if (connection->batch)
        end_batch(STEAL(connection->batch), connection);
    connection->next_request = NULL;
    json_document_free(STEAL(connection->document));
}

static unsigned dispatch(struct connection *connection, const struct json *value)
{
    if (connection->batch)
        connection->batch->open++;
    return method_dispatch(connection, connection->source.server, connection->batch, value);
}

static void refuse(struct connection *connection, enum message_error code, const char *why)
{
    const struct call call = {.connection = connection, .id = "null"};
    call_fail(&call, code, 0, "%s", why);
}

/* Begins with what a line says. Returns what that cost. */
static unsigned begin_document(struct connection *connection, const struct json *root)
{
    if (root->type != JSON_ARRAY)
        return dispatch(connection, root);
    size_t count = 0;
    for (const struct json *value = root->first; value; value = value->next)
        count++;
    struct batch *batch =
        count > 0 && count <= MESSAGE_BATCH_MAX ? calloc(1, sizeof(*batch)) : NULL;
    if (!batch) {
        refuse(connection, MESSAGE_NO_REQUEST,
               count ? "more than 1024 requests in an array" : "an array without requests");
        return 1;
    }
    batch->open = 1;
    connection->batch = batch;
    connection->next_request = root->first;
    return 0;
}

/* Goes on with the document. Returns what that cost; *ret_done: nothing of it was left. */
static unsigned go_on(struct connection *connection, bool *ret_done)
{
    const struct json *request = connection->next_request;
    *ret_done = false;
    if (connection->many.active)
        return look_up_next(connection);
    if (request) {
        connection->next_request = request->next;
        return dispatch(connection, request);
    }
    *ret_done = true;
    end_document(connection);
    return 0;
}

static unsigned read_line(struct connection *connection, const char *line, size_t length)
{
    struct server *server = connection->source.server;
    struct pkgcache_error error;
    struct json_document *document = NULL;
    bool is_short = length <= SHORT_MESSAGE;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length == 0)
        return 0;
    server->counters.requests++;
    int result = is_short ? json_parse_in(server->room, sizeof(server->room), line, length,
                                          &document, &error)
                          : json_parse(line, length, &document, &error);
    if (result < 0) {
        refuse(connection, MESSAGE_NOT_JSON, error.message);
        return 1;
    }
    connection->document = document;
    unsigned cost = 1 + begin_document(connection, document->root);
    for (bool done = !is_short; !done;) /* the room is used again */
        cost += go_on(connection, &done);
    return cost;
}

/* Reads the next line, if there is a whole one. Returns whether there was. */
static bool take_line(struct connection *connection, unsigned *cost)
{
    struct text *in = &connection->in;
    const char *begin = in->bytes + connection->taken;
    const char *feed =
        in->length > connection->scanned
            ? memchr(in->bytes + connection->scanned, '\n', in->length - connection->scanned)
            : NULL;
    if (feed) {
        connection->taken = connection->scanned = (size_t)(feed - in->bytes) + 1;
        *cost += read_line(connection, begin, (size_t)(feed - begin));
        return true;
    }
    connection->scanned = in->length;
    if (in->length - connection->taken >= MESSAGE_MAX) {
        connection->source.server->counters.dropped++;
        refuse(connection, MESSAGE_NOT_JSON, "a message of more than 1 MiB");
        connection->ended = true;
        connection->taken = in->length;
    }
    return false;
}

static bool is_under_way(const struct connection *connection)
{
    return connection->document || connection->many.active || connection->next_request;
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

/* Does some of what was asked. Returns whether there may be more to do. */
static bool work(struct connection *connection)
{
    unsigned cost = 0;
    while (!connection->failed && cost < TURN_LOOK_UPS && unsent(connection) < OUT_PAUSE_BYTES) {
        bool done;
        if (is_under_way(connection))
            cost += go_on(connection, &done);
        else if (!take_line(connection, &cost))
            return false;
    }
    return true;
}

/* --- Sockets --------------------------------------------------------------------------------- */

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
    if (!connection->ended && waiting < MESSAGE_MAX && unsent(connection) < OUT_PAUSE_BYTES)
        event.events |= EPOLLIN;
    if (unsent(connection) > 0)
        event.events |= EPOLLOUT;
    if (event.events == connection->events || connection->hung_up)
        return;
    connection->events = event.events;
    epoll_ctl(connection->source.server->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
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
    make_ready(connection);
}

static void end_connection(struct connection *connection)
{
    struct server *server = connection->source.server;
    close(connection->fd); /* and epoll forgets it */
    connection->fd = -1;
    if (is_under_way(connection)) {
        if (connection->many.active)
            drop(&connection->many.call);
        text_free(&connection->many.text);
        connection->many.active = false;
        end_document(connection);
    }
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
        more = work(connection);
        connection->in_turn = false;
        flush(connection);
        count_buffers(connection);
        bool over = connection->ended && !more && unsent(connection) == 0 &&
                    (connection->hung_up || connection->calls == 0);
        if (connection->failed || over)
            end_connection(connection);
        else
            watch(connection);
    }
    if (connection->fd < 0 && connection->calls == 0 && !connection->ready)
        free_connection(connection);
    else if (connection->fd >= 0 && more && unsent(connection) < OUT_PAUSE_BYTES)
        make_ready(connection);
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
        while (unsent(connection) > 0 && clock_monotonic_ns() < until_ns) {
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
