/*
 * Connections of a daemon: bytes in, lines, requests one after the other, bytes out. Each gets its
 * turn, and in it a few look-ups; so neither long requests nor many of them hold others up. Who
 * does not read what is answered is not asked what else it wants, and in the end let go.
 */
#pragma once

#include "cache/service/message.h"
#include "cache/service/peer.h"

#include <stdint.h>

struct server;
struct connection;

struct connections {
    struct connection *first;
    size_t count;
    uint64_t numbers;
    size_t buffered;          /* bytes, of all */
    struct connection *ready; /* to get a turn */
    struct connection **ready_last;
};

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

void connections_init(struct connections *connections);

/** Takes in a client. @param fd becomes the connection's. @return 0 or -errno, and fd is closed */
int connection_accept(struct server *server, int fd, const struct peer *peer);

/** Gives each of those that are ready its turn. */
void connections_take_turns(struct server *server);

/** Whether any are ready. */
bool connections_are_ready(const struct connections *connections);

/** @return how many a user has */
size_t connections_of(const struct server *server, uid_t uid);

/** Tries to send what is left, for a moment, and closes all. */
void connections_close(struct server *server);

/** Frees those that are closed; calls that were kept must be freed before. */
void connections_free(struct server *server);

const struct peer *connection_peer(const struct connection *connection);

/** @return a number that no other connection of this daemon has or had */
uint64_t connection_number(const struct connection *connection);

/** Wants to hear of all jobs (0), or of one more. @return 0; -ENOSPC: of too many already */
int connection_subscribe(struct connection *connection, uint64_t job);

/** Wants to hear of that one no more. */
void connection_unsubscribe(struct connection *connection, uint64_t job);

/** Whether a connection wants to hear of a job, and reads fast enough for that. */
bool connection_hears_of(const struct connection *connection, uint64_t job);

/** The connection after this one; NULL: the first. For going through all. */
struct connection *connection_next(const struct server *server, const struct connection *before);

/** Sends a notification. @param text ends in a line feed */
void connection_notify(struct connection *connection, const struct text *text);

/** Looks handles up, a few each turn, and answers the call with all of them. */
void connection_look_up_many(struct connection *connection, const struct call *call,
                             const struct json *handles, bool touch);

/* Answers. */

/** Begins an answer. @return what the result is to be appended to; then call_end */
struct text *call_begin(const struct call *call);

void call_end(const struct call *call);

/** Answers that it failed. @param code_errno an errno value; 0: none */
void call_fail(const struct call *call, enum message_error code, int code_errno, const char *format,
               ...) PRINTF_LIKE(4, 5);

/** Keeps a call that is answered later; ends with call_free. @return NULL: out of memory */
struct call *call_keep(const struct call *call);

/** Whether the connection that it came from is still there. */
bool call_is_open(const struct call *call);

/** Whether somebody still waits for the answer. */
bool call_is_wanted(const struct call *call);

void call_free(struct call *call);
