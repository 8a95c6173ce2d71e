/*
 * Connections of a daemon: bytes in, lines, bytes out. Each gets its turn, and in it a few
 * look-ups; so neither long requests nor many of them hold others up. Of a client that does not
 * read its answers, no further requests are read; in the end its connection is closed. What a line
 * asks for is not known here: callbacks take the lines.
 */
#pragma once

#include "cache/service/counters.h"
#include "cache/service/loop.h"
#include "cache/service/peer.h"
#include "cache/util/text.h"

struct connection;

enum {
    CONNECTION_LINE_MAX = 1 << 20, /* bytes, the line feed included */
};

/** Those who do what connections ask for. */
struct connection_callbacks {
    /**
     * Does some of what is under way, or takes the next line (connection_take_line) and begins with
     * it. Called several times in a turn.
     *
     * @param cost what it cost in look-ups is added to this
     * @return     whether there was anything to do
     */
    bool (*on_turn)(struct connection *connection, unsigned *cost);
    /** It has ended, and nobody is left to be answered. Its context is not used any more. */
    void (*on_close)(struct connection *connection);
};

struct connections {
    struct loop *loop;
    const struct connection_callbacks *callbacks;
    struct counters *counters;
    struct connection *first; /* private, as all below but for the count */
    size_t count;
    uint64_t last_number;
    size_t buffered_bytes; /* of all */
};

/**
 * Takes in a client.
 *
 * @param fd      becomes the connection's, and is closed on failure
 * @param context for the callbacks
 * @return        0 or -errno
 */
int connection_accept(struct connections *connections, int fd, const struct peer *peer,
                      void *context);

/** @return how many a user has */
size_t connections_count_of_user(const struct connections *connections, uid_t uid);

/** Sends a notification to those that want to hear of a job, and read fast enough. @param text ends
 * in a line feed */
void connections_notify(struct connections *connections, uint64_t job, const struct text *text);

/** Whether there are any such. */
bool connections_want_job(const struct connections *connections, uint64_t job);

/** Tries to send what is left, for a moment, and closes all. */
void connections_close(struct connections *connections);

/** Frees those that are closed; all that keep one must have released it. */
void connections_free(struct connections *connections);

void *connection_context(const struct connection *connection);

const struct peer *connection_peer(const struct connection *connection);

/** Reads the groups of its peer, as peer_read_groups. @return 0; -ENOTCONN: it has ended; -errno */
int connection_read_groups(const struct connection *connection, gid_t **ret_groups,
                           size_t *ret_count);

/** @return a number that no other connection of this daemon has or had */
uint64_t connection_number(const struct connection *connection);

/** Whether it has not ended yet. */
bool connection_is_open(const struct connection *connection);

/**
 * Takes the next line of the input.
 *
 * @param ret_line valid until the end of the turn; without the line feed
 * @return         1; 0: there is no whole line yet; -EMSGSIZE: it is longer than
 *                 CONNECTION_LINE_MAX, and no more is read
 */
int connection_take_line(struct connection *connection, const char **ret_line, size_t *ret_length);

/** Says how many bytes are held for a connection, beside its own. */
void connection_set_held_bytes(struct connection *connection, size_t bytes);

/** @return what an answer is to be appended to, while it is open; then connection_end_line */
struct text *connection_output(struct connection *connection);

struct counters *connection_counters(const struct connection *connection);

/** Ends a message in the output. */
void connection_end_line(struct connection *connection);

/** Keeps a connection's memory until it is released as often. It may end meanwhile; when the client
 * sends no more, it stays open for as long as it is kept. */
void connection_keep(struct connection *connection);
void connection_release(struct connection *connection);

/** Notifies it of all jobs (0), or of one more. @return 0; -ENOSPC: of too many already */
int connection_subscribe(struct connection *connection, uint64_t job);

/** Notifies it of that one no more. */
void connection_unsubscribe(struct connection *connection, uint64_t job);
