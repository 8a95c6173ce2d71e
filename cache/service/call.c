/* Answers. Those of a batch are gathered, and sent with the last one. */
#include "cache/service/call.h"
#include "cache/util/text.h"

#include <stdarg.h>

bool call_is_open(const struct call *call)
{
    return connection_is_open(call->connection);
}

/* Whether somebody still waits for the answer. */
static bool is_wanted(const struct call *call)
{
    return call_is_open(call) && !call->silent;
}

struct batch *batch_begin(void)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch)
        batch->open = 1;
    return batch;
}

void batch_add_call(struct batch *batch)
{
    batch->open++;
}

void batch_end_one(struct batch *batch, struct connection *connection)
{
    if (--batch->open > 0)
        return;
    if (batch->text.length > 0 || batch->text.error < 0) {
        struct text *output = connection_output(connection);
        text_append(output, batch->text.bytes, batch->text.length);
        output->error = MIN(output->error, batch->text.error);
        text_append_byte(output, ']');
        connection_end_line(connection);
    }
    text_free(&batch->text);
    free(batch);
}

static struct text *begin_message(const struct call *call)
{
    struct batch *batch = call->batch;
    if (!batch)
        return connection_output(call->connection);
    text_append_byte(&batch->text, batch->text.length > 0 ? ',' : '[');
    return &batch->text;
}

static void end_message(const struct call *call)
{
    if (call->batch)
        batch_end_one(call->batch, call->connection);
    else
        connection_end_line(call->connection);
}

void call_drop(const struct call *call)
{
    if (call->batch)
        batch_end_one(call->batch, call->connection);
}

void call_answer(const struct call *call, cJSON *result)
{
    if (!is_wanted(call)) {
        cJSON_Delete(result);
        call_drop(call);
        return;
    }
    message_append_result(begin_message(call), call->id, result);
    end_message(call);
}

void call_fail(const struct call *call, enum message_error code, int code_errno, const char *format,
               ...)
{
    CLEANUP_FREE char *why = NULL;
    va_list arguments;
    va_start(arguments, format);
    why = text_vformat(format, arguments);
    va_end(arguments);
    connection_counters(call->connection)->errors++;
    if (!is_wanted(call)) {
        call_drop(call);
        return;
    }
    message_append_error(begin_message(call), call->id, code, code_errno,
                         why ? why : "out of memory");
    end_message(call);
}

void call_answer_stream(const struct call *call, struct json_stream *stream)
{
    const struct text *text = &stream->text;
    if (!is_wanted(call)) {
        call_drop(call);
    } else if (text->error < 0) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
    } else {
        text_append(begin_message(call), text->bytes, text->length);
        end_message(call);
    }
    json_stream_end(stream);
}

struct call *call_keep(const struct call *call)
{
    struct call *kept = malloc(sizeof(*kept));
    if (!kept)
        return NULL;
    *kept = *call;
    connection_keep(kept->connection);
    return kept;
}

void call_free(struct call *call)
{
    if (!call)
        return;
    connection_release(call->connection);
    free(call);
}
