/* The client's end of a connection to the daemon; pkgcache_client.h has what programs call. */
#pragma once

#include "cache/json/json.h"
#include "cache/pkgcache_client.h"

/** An answer: the result, in the document that it is part of. Freed with json_document_free. */
struct client_answer {
    struct json_document *document;
    const struct json *result;
};

/** What to do while an answer is awaited. */
struct client_wait {
    int timeout_ms; /* nothing is sent or received for so long: give up; -1: as long as it takes */
    int cancel_fd;  /* readable: give up; -1: none */
    /* Returns 0, or anything else: give up, as with cancel_fd. */
    int (*on_notification)(void *context, const char *method, const struct json *params);
    void *context;
};

/**
 * Begins to send a request: does not wait. What could not be sent yet is sent by client_flush and
 * client_receive.
 *
 * @param params     a JSON object
 * @param ret_number of the request, for client_receive
 * @return           0 or -ENOMEM
 */
int client_send(struct pkgcache_client *client, const char *method, const char *params,
                uint64_t *ret_number, struct pkgcache_error *ret_error);

/**
 * Waits until all is sent, or a message has come. Whoever sends many requests takes messages in
 * between: a daemon whose answers are not read reads no requests either.
 *
 * @return 0: all is sent; 1: a message is there for client_receive; or -errno
 */
int client_flush(struct pkgcache_client *client, const struct client_wait *wait,
                 struct pkgcache_error *ret_error);

/**
 * Waits for the next message, and sends what is left to be sent.
 *
 * @param ret_number of the request that it answers; 0: it cannot be told
 * @param ret        when 0 is returned: the caller frees its document
 * @return           0: an answer; 1: a notification, which was handed on; what the daemon answered
 *                   as -errno (then *ret_number is set); or -errno
 */
int client_receive(struct pkgcache_client *client, const struct client_wait *wait,
                   uint64_t *ret_number, struct client_answer *ret,
                   struct pkgcache_error *ret_error);

/** Sends a request, and waits for its answer. */
int client_ask(struct pkgcache_client *client, const char *method, const char *params,
               const struct client_wait *wait, struct client_answer *ret,
               struct pkgcache_error *ret_error);
