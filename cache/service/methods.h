/* What the daemon does when it is asked: docs/daemon.md has each request and its answer. */
#pragma once

#include "cache/service/connection.h"

/**
 * Answers a request, or has it answered.
 *
 * @param value   a request, or what should be one
 * @param batch   that it is in; NULL: none
 * @return        what it cost, in look-ups
 */
unsigned method_dispatch(struct connection *connection, struct server *server, struct batch *batch,
                         const struct json *value);

/** Looks up the handle that a value is, and appends what the answer says of it. @return the status,
 * or -errno */
int method_look_up(struct server *server, const struct json *value, bool touch, struct text *text);
