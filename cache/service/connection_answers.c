/* Answers of connections: each is a line, or a member of a batch that is one. */
#include "cache/service/connection_parts.h"

#include <stdarg.h>

bool call_is_open(const struct call *call)
{
    return call->connection->fd >= 0;
}

/* Ends a message in the output. */
static void end_line(struct connection *connection)
{
    text_append_byte(&connection->out, '\n');
    if (connection->out.error < 0 || connection_unsent(connection) > OUT_MAX_BYTES)
        connection->failed = true;
    if (!connection->in_turn)
        connection_make_ready(connection);
}

void batch_end(struct batch *batch, struct connection *connection)
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

void call_drop(const struct call *call)
{
    if (call->batch)
        batch_end(call->batch, call->connection);
}

static void end(const struct call *call)
{
    if (call->batch)
        batch_end(call->batch, call->connection);
    else
        end_line(call->connection);
}

void call_end(const struct call *call)
{
    if (!call_is_wanted(call)) {
        call_drop(call);
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
        call_drop(call);
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
    connection_make_ready(call->connection); /* it may be the last that it waited for */
    free(call);
}
