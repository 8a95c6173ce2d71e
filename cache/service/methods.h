/* What the daemon does when it is asked: docs/daemon.md has each request and its answer. */
#pragma once

#include "cache/service/server.h"

/** Answers a request, or has it answered. @return what it cost, in look-ups */
unsigned method_answer(struct server *server, const struct call *call,
                       const struct message *message);
