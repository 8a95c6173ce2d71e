/* What a daemon reports of itself: status as JSON, counters for Prometheus. */
#pragma once

#include "cache/service/server.h"

/** Appends the result of method status. */
void report_append_status(const struct server *server, struct text *text);

/** Appends the daemon's own counters as a JSON object. */
void report_append_counters(const struct server *server, struct text *text);

/** Appends the daemon's own counters in Prometheus's text format. */
void report_append_metrics(const struct server *server, struct text *text);
