/* What the files of connections share. */
#pragma once

#include "cache/service/server.h"

enum {
    OUT_PAUSE_BYTES = 256 << 10, /* not read yet: nothing new is begun */
    OUT_MAX_BYTES = 32 << 20,    /* not read yet: it is let go */
    KEPT_BYTES = 16 << 10,       /* buffers that are larger are freed when they are empty */
    SUBSCRIPTIONS_MAX = 16,
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

/** How many bytes were not sent yet. */
static inline size_t connection_unsent(const struct connection *connection)
{
    return connection->out.length - connection->sent;
}

/** Gives it a turn, soon. */
void connection_make_ready(struct connection *connection);

/** Does some of what was asked. @return whether there may be more to do */
bool connection_work(struct connection *connection);

/** Forgets what was asked, when nobody is left to be answered. */
void connection_forget_requests(struct connection *connection);

/** An answer of a batch is given, or will not be; after the last one, it is sent. */
void batch_end(struct batch *batch, struct connection *connection);

/** Ends a call that nobody waits for. */
void call_drop(const struct call *call);
