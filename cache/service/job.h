/* What jobs are made of: a job for each request of method warm, what it wants, and one piece of
 * work for each variant, however many jobs want it. jobs.h begins and ends them. */
#pragma once

#include "cache/service/call.h"
#include "cache/service/copier.h"

/** A variant of a job. */
struct want {
    struct want *next; /* of the same work */
    struct job *job;
    struct work *work; /* NULL: it is done */
    struct pkgcache_result result;
    char *name;
    char *handle_json; /* NULL: nobody asked for it, or what was named is no variant */
};

struct job {
    struct job *next;
    struct job *previous;
    uint64_t number;
    uint64_t connection;           /* its number */
    struct connection *subscriber; /* to this job, for as long as it lasts; NULL */
    struct call *call;             /* NULL: nobody waits */
    struct peer peer;
    uint64_t began_ns;
    bool named; /* its results say which variant each is */
    size_t count;
    size_t done;
    struct want wants[];
};

/** A variant on its way, for all who want it. */
struct work {
    struct copy copy;
    struct work *newer;
    struct work *older;
    struct pkgcache_handle *handle;
    char *root; /* NULL: the cache had it when it was named */
    char *requires_json;
    bool has_definition;
    bool is_rooting;    /* its root is being found: the copier does not have it */
    struct jobs *jobs;  /* whose it is */
    struct want *wants; /* NULL: it is cancelled, and not found any more */
    uint64_t changed_ns;
    uint64_t progress; /* how far it was then */
    bool stalled;
};
