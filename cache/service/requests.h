/*
 * What connections ask for: their lines are read as requests (docs/daemon.md), alone or in a batch,
 * and handed to a callback one after the other. What takes long is done in steps, a few each turn.
 * What a method is is not known here.
 */
#pragma once

#include "cache/service/call.h"

#include <stddef.h>

enum { REQUESTS_ROOM_BYTES = 64 << 10 };

struct requests;

/** A request that is answered in several steps, before the next one of its connection is begun. */
struct request_steps {
    /* Takes a step. @return what it cost in look-ups; 0: it was answered, and this is freed */
    unsigned (*take_step)(struct request_steps *steps);
    /* The connection has ended: drops the call, and frees this. */
    void (*drop)(struct request_steps *steps);
    size_t held_bytes; /* beside the connection's own */
};

/** What those of all connections share. */
struct requests_reader {
    /* Answers a request, or has it answered. @return what it cost in look-ups */
    unsigned (*on_request)(void *context, const struct call *call, const struct message *message);
    void *context;
    struct counters *counters;
    _Alignas(max_align_t) char room[REQUESTS_ROOM_BYTES]; /* for a short message's document */
};

/** @return those of one connection, which they are to be the context of; NULL: out of memory */
struct requests *requests_new(struct requests_reader *reader);

/** @return the reader's context */
void *requests_context(const struct requests *requests);

/** Reads and does some of what was asked; connection_callbacks.on_turn. */
bool requests_take_turn(struct connection *connection, unsigned *cost);

/** Drops what is under way, when the connection has ended, and frees it. */
void requests_free(struct connection *connection, struct requests *requests);

/** For on_request: the request is answered in steps. */
void requests_answer_in_steps(const struct call *call, struct request_steps *steps);
