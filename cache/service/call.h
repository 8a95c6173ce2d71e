/*
 * Calls: requests on their way to an answer. Each answer is a line, or a member of a batch that is
 * one.
 */
#pragma once

#include "cache/service/connection.h"
#include "cache/service/message.h"

/** The answers to requests that came in one array. */
struct batch {
    struct text text;
    size_t open; /* answers that are missing, and 1 while requests are still read */
};

/** A request that is being answered. */
struct call {
    struct connection *connection;
    struct batch *batch; /* NULL: it came alone */
    bool silent;         /* nobody waits for an answer */
    char id[MESSAGE_ID_MAX];
};

/** Answers. @param result freed */
void call_answer(const struct call *call, cJSON *result);

/** Answers, if somebody waits, with what was printed into a stream (message_open_result), and frees
 * it; or that memory ran out. */
void call_answer_stream(const struct call *call, struct json_stream *stream);

/** Answers that it failed. @param code_errno an errno value; 0: none */
void call_fail(const struct call *call, enum message_error code, int code_errno, const char *format,
               ...) PRINTF_LIKE(4, 5);

/** Keeps a call that is answered later; ends with call_free. @return NULL: out of memory */
struct call *call_keep(const struct call *call);

/** NULL is allowed. */
void call_free(struct call *call);

/** Whether the connection that it came from is still there. */
bool call_is_open(const struct call *call);

/** Ends a call without an answer. */
void call_drop(const struct call *call);

/** Begins a batch. @return NULL: out of memory */
struct batch *batch_begin(void);

/** One more answer of a batch is to come. */
void batch_add_call(struct batch *batch);

/** An answer of a batch is given, or will not be; or all its requests were read. After the last, it
 * is sent, and freed. */
void batch_end_one(struct batch *batch, struct connection *connection);
