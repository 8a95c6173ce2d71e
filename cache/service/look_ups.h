/* Look-ups for clients: methods get and get_many. */
#pragma once

#include "cache/service/server.h"

/** Looks a variant up, and answers the call. @param touch it counts as used */
void look_up_answer_one(struct server *server, const struct call *call,
                        const struct pkgcache_handle *handle, bool touch);

/** Looks up all that an array names, a few each turn, and answers the call. */
void look_up_answer_many(struct server *server, const struct call *call, const struct json *handles,
                         bool touch);
