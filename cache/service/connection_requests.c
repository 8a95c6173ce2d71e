/* Requests of connections: lines, what they say, and the look-ups of get_many, a few each turn. */
#include "cache/service/connection_parts.h"

#include "cache/service/methods.h"

#include <string.h>

enum {
    TURN_LOOK_UPS = 32,
    SHORT_MESSAGE = 2048, /* bytes; dealt with in one turn */
};

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
        batch_end(STEAL(connection->batch), connection);
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

bool connection_work(struct connection *connection)
{
    unsigned cost = 0;
    while (!connection->failed && cost < TURN_LOOK_UPS &&
           connection_unsent(connection) < OUT_PAUSE_BYTES) {
        bool done;
        if (is_under_way(connection))
            cost += go_on(connection, &done);
        else if (!take_line(connection, &cost))
            return false;
    }
    return true;
}

void connection_forget_requests(struct connection *connection)
{
    if (!is_under_way(connection))
        return;
    if (connection->many.active)
        call_drop(&connection->many.call);
    text_free(&connection->many.text);
    connection->many.active = false;
    end_document(connection);
}
