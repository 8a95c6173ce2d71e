/* Cleaning, counting and listing, for clients: what takes its time, and is done aside. */
#pragma once

#include "cache/service/server.h"

/** Cleans, and answers the call. @param time_limit_s 0: none */
void upkeep_clean(struct server *server, const struct call *call, bool dry_run,
                  unsigned time_limit_s);

/** Counts, and answers the call. */
void upkeep_stats(struct server *server, const struct call *call, bool prometheus);

/** Lists, and answers the call, which is in no batch. */
void upkeep_list(struct server *server, const struct call *call);

/**
 * Has equal files share their blocks, for some seconds. Does nothing while it is not wanted, that
 * is under way, or nothing has come since all was shared.
 */
void upkeep_share(struct server *server);

/** Counts, and writes the file for Prometheus anew, unless that is under way. */
void upkeep_write_metrics(struct server *server);
