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
    int timeout_ms; /* -1: as long as it takes */
    int cancel_fd;  /* readable: give up; -1: none */
    /* Returns 0, or anything else: give up, as with cancel_fd. */
    int (*on_notification)(void *context, const char *method, const struct json *params);
    void *context;
};

/**
 * Sends a request.
 *
 * @param params     a JSON object
 * @param ret_number of the request, for client_receive
 * @return           0 or -errno
 */
int client_send(struct pkgcache_client *client, const char *method, const char *params,
                const struct client_wait *wait, uint64_t *ret_number,
                struct pkgcache_error *ret_error);

/**
 * Waits for the next answer; notifications are handed on.
 *
 * @param ret_number of the request that it answers; 0: it cannot be told
 * @param ret        when 0 is returned: the caller frees its document
 * @return           0; what the daemon answered as -errno (then *ret_number is set); or -errno
 */
int client_receive(struct pkgcache_client *client, const struct client_wait *wait,
                   uint64_t *ret_number, struct client_answer *ret,
                   struct pkgcache_error *ret_error);

/** Both, for one request. */
int client_ask(struct pkgcache_client *client, const char *method, const char *params,
               const struct client_wait *wait, struct client_answer *ret,
               struct pkgcache_error *ret_error);
