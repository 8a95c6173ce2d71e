/* What a daemon reports of itself: status as JSON, counters for Prometheus. */
#pragma once

#include "cache/service/server.h"

/** @return the result of method status */
cJSON *report_build_status(const struct server *server);

/** @return the daemon's own counters */
cJSON *report_build_counters(const struct server *server);

/** Appends the daemon's own counters in Prometheus's text format. */
void report_append_metrics(const struct server *server, struct text *text);
