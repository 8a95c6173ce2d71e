/* What a daemon consists of, for those who answer its clients. All of it belongs to the thread of
 * the protocol; service.c puts it together. */
#pragma once

#include "cache/service/copier.h"
#include "cache/service/errands.h"
#include "cache/service/holds.h"
#include "cache/service/jobs.h"
#include "cache/service/queue.h"
#include "cache/service/requests.h"
#include "cache/service/upkeep_limits.h"
#include "cache/service/vetting.h"

struct server {
    struct loop loop;
    struct counters counters;
    struct pkgcache *cache; /* for look-ups; the threads have their own */
    struct upkeep_limits limits;
    const char *version;      /* of the program, for ping */
    const char *metrics_path; /* NULL: none is written */
    struct copier *copier;
    struct errands *upkeep;  /* takes time */
    struct errands *listing; /* goes through the cache; waits for none of those */
    struct errands *reading; /* of sources: waits for storage, and for rez */
    struct queue queue;
    struct connections connections;
    struct requests_reader reader;
    struct jobs jobs;
    struct vettings vettings; /* of what guests want copied */
    struct holds holds;       /* leases of clients */
    uint64_t started_ns;
    bool writes_metrics;
    bool shares;        /* blocks, right now */
    uint64_t shared_at; /* STATS_COPIES + 1 when all was shared; 0: it was not yet */
};
