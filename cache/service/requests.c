/* Requests: from lines to calls. */
#include "cache/service/requests.h"

#include <string.h>

enum {
    SHORT_MESSAGE = 2048, /* bytes; dealt with in one turn */
};

struct requests {
    struct requests_reader *reader;
    struct json_document *document; /* of what is under way; NULL: in the reader's room, or none */
    struct batch *batch;
    const struct json *next_request; /* of the batch; NULL: none is left */
    struct request_steps *steps;     /* of the request under way; NULL: it was answered */
};

struct requests *requests_new(struct requests_reader *reader)
{
    struct requests *requests = calloc(1, sizeof(*requests));
    if (requests)
        requests->reader = reader;
    return requests;
}

void *requests_context(const struct requests *requests)
{
    return requests->reader->context;
}

void requests_answer_in_steps(const struct call *call, struct request_steps *steps)
{
    struct requests *requests = connection_context(call->connection);
    requests->steps = steps;
}

/* Takes one more step of the request under way. Returns what that cost. */
static unsigned take_step(struct connection *connection, struct requests *requests)
{
    unsigned cost = requests->steps->take_step(requests->steps);
    if (cost == 0)
        requests->steps = NULL;
    connection_set_held_bytes(connection, cost > 0 ? requests->steps->held_bytes : 0);
    return cost;
}

static void end_document(struct connection *connection, struct requests *requests)
{
    if (requests->batch)
        batch_end_one(STEAL(requests->batch), connection);
    requests->next_request = NULL;
    json_document_free(STEAL(requests->document));
}

static unsigned begin_request(struct connection *connection, struct requests *requests,
                              const struct json *value)
{
    struct requests_reader *reader = requests->reader;
    struct message message;
    const char *why;
    struct call call = {.connection = connection, .batch = requests->batch};
    reader->counters->requests++;
    if (requests->batch)
        batch_add_call(requests->batch);
    int code = message_read(value, &message, &why);
    memcpy(call.id, message.id, sizeof(call.id));
    call.silent = code != MESSAGE_NO_REQUEST && message.silent;
    if (code == 0)
        return reader->on_request(reader->context, &call, &message);
    call_fail(&call, (enum message_error)code, 0, "not a request: %s", why);
    return 1;
}

static void refuse_line(struct connection *connection, enum message_error code, const char *why)
{
    const struct call call = {.connection = connection, .id = "null"};
    call_fail(&call, code, 0, "%s", why);
}

/* Begins with what a line says. Returns what that cost. */
static unsigned begin_document(struct connection *connection, struct requests *requests,
                               const struct json *root)
{
    if (root->type != JSON_ARRAY)
        return begin_request(connection, requests, root);
    size_t count = 0;
    for (const struct json *value = root->first; value; value = value->next)
        count++;
    requests->batch = count > 0 && count <= MESSAGE_BATCH_MAX ? batch_begin() : NULL;
    if (!requests->batch) {
        refuse_line(connection, MESSAGE_NO_REQUEST,
                    count ? "more than 1024 requests in an array" : "an empty array of requests");
        return 1;
    }
    requests->next_request = root->first;
    return 0;
}

/* Goes on with the document. Returns what that cost; *ret_done: nothing of it was left. */
static unsigned continue_document(struct connection *connection, struct requests *requests,
                                  bool *ret_done)
{
    const struct json *request = requests->next_request;
    *ret_done = false;
    if (requests->steps)
        return take_step(connection, requests);
    if (request) {
        requests->next_request = request->next;
        return begin_request(connection, requests, request);
    }
    *ret_done = true;
    end_document(connection, requests);
    return 0;
}

static unsigned read_line(struct connection *connection, struct requests *requests,
                          const char *line, size_t length)
{
    struct requests_reader *reader = requests->reader;
    struct pkgcache_error error;
    struct json_document *document = NULL;
    bool is_short = length <= SHORT_MESSAGE;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length == 0)
        return 0;
    reader->counters->messages++;
    int result = is_short ? json_parse_in(reader->room, sizeof(reader->room), line, length,
                                          &document, &error)
                          : json_parse(line, length, &document, &error);
    if (result < 0) {
        refuse_line(connection, MESSAGE_NOT_JSON, error.message);
        return 1;
    }
    requests->document = document;
    unsigned cost = 1 + begin_document(connection, requests, document->root);
    for (bool done = !is_short; !done;) /* the room is used again */
        cost += continue_document(connection, requests, &done);
    return cost;
}

static bool is_under_way(const struct requests *requests)
{
    return requests->document || requests->steps || requests->next_request;
}

bool requests_take_turn(struct connection *connection, unsigned *cost)
{
    struct requests *requests = connection_context(connection);
    const char *line;
    size_t length;
    bool done;
    if (is_under_way(requests)) {
        *cost += continue_document(connection, requests, &done);
        return true;
    }
    int result = connection_take_line(connection, &line, &length);
    if (result == 1)
        *cost += read_line(connection, requests, line, length);
    else if (result < 0)
        refuse_line(connection, MESSAGE_NOT_JSON, "a message of more than 1 MiB");
    return result == 1;
}

void requests_free(struct connection *connection, struct requests *requests)
{
    if (requests->steps)
        requests->steps->drop(requests->steps);
    if (is_under_way(requests))
        end_document(connection, requests);
    free(requests);
}
