/*
 * Messages of the daemon: JSON-RPC 2.0, one a line (docs/daemon.md). What is read here comes from
 * anybody. Who sends what to whom is the business of call.h and connection.h.
 */
#pragma once

#include "cache/json/json.h"
#include "cache/json/json_stream.h"
#include "cache/store/handle.h"

enum {
    MESSAGE_PROTOCOL = 1,       /* the version that ping says */
    MESSAGE_ID_MAX = 256,       /* bytes of a request's id as JSON, the NUL included */
    MESSAGE_BATCH_MAX = 1024,   /* requests in one */
    MESSAGE_HANDLES_MAX = 4096, /* in one request */
};

/** The codes of errors: those of JSON-RPC, and ours. */
enum message_error {
    MESSAGE_NOT_JSON = -32700,
    MESSAGE_NO_REQUEST = -32600,
    MESSAGE_NO_METHOD = -32601,
    MESSAGE_BAD_PARAMS = -32602,
    MESSAGE_BUSY = -32001, /* try again later */
    MESSAGE_FORBIDDEN = -32002,
    MESSAGE_NOT_FOUND = -32003, /* no such job */
    MESSAGE_FAILED = -32004,    /* it was tried; data.errno says how it failed */
    MESSAGE_STOPPING = -32005,
};

/** A request; points into the document that it was read from. */
struct message {
    const struct json *method; /* a string */
    const struct json *params; /* an object; NULL: none */
    bool silent;               /* a notification: nobody waits for an answer */
    char id[MESSAGE_ID_MAX];   /* as JSON; "null" when it is not known */
};

/**
 * Reads a request.
 *
 * @param ret     its id is filled in, as far as it can be known, whatever happens
 * @param ret_why says what is wrong; static
 * @return        0 or a code of enum message_error
 */
int message_read(const struct json *value, struct message *ret, const char **ret_why);

/** Appends an answer. @param result freed */
void message_append_result(struct text *text, const char *id, cJSON *result);

/** Begins an answer in a stream without a file: its result is an object, whose members follow. */
void message_open_result(struct json_stream *stream, const char *id);
void message_close_result(struct json_stream *stream);

/** Appends an answer that is an error. @param code_errno an errno value; 0: none */
void message_append_error(struct text *text, const char *id, enum message_error code,
                          int code_errno, const char *why);

/** Appends a request. @param params an object */
void message_append_request(struct text *text, uint64_t number, const char *method,
                            const char *params);

/** Appends a notification. @param params freed */
void message_append_notification(struct text *text, const char *method, cJSON *params);

/**
 * What is said of a variant that was looked up.
 *
 * @param status what pkgcache_get gave as ret_status
 * @param root   NULL: none; outlives the item, as reason does
 * @param reason NULL: none
 */
cJSON *message_build_found(enum pkgcache_status status, const char *root, const char *reason);

/**
 * Whether an object has no members but these.
 *
 * @param object NULL: it has none
 * @param names  ends with NULL
 */
bool message_has_only(const struct json *object, const char *const *names);

/** Reads a member that may be missing. @return whether it is a boolean, or missing */
bool message_boolean(const struct json *object, const char *key, bool missing, bool *ret);

/** Reads a member that may be missing: a whole number in a range. @return whether it is, or missing
 */
bool message_number(const struct json *object, const char *key, int64_t minimum, int64_t maximum,
                    int64_t missing, int64_t *ret);

/**
 * Reads a member that may be missing: one of some words.
 *
 * @param words ends with NULL
 * @param ret   its place; left alone when it is missing
 */
bool message_word(const struct json *object, const char *key, const char *const *words,
                  unsigned *ret);

/**
 * Reads a path.
 *
 * @param ret freed by the caller; NULL when value is NULL or null
 * @return    0; -EINVAL: it is no absolute path; -ENOMEM
 */
int message_path(const struct json *value, char **ret);
