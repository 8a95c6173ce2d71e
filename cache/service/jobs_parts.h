/* What the files of jobs share. */
#pragma once

#include "cache/service/server.h"

/** A variant of a job. */
struct want {
    struct want *next; /* of the same work */
    struct job *job;
    struct work *work; /* NULL: it is done */
    struct pkgcache_result result;
    char *name;
    char *handle_json; /* NULL: nobody is told it, or what was named is no variant */
};

struct job {
    struct job *next;
    struct job *previous;
    uint64_t number;
    uint64_t connection;     /* its number */
    struct connection *told; /* hears of it for as long as it lasts; NULL */
    struct call *call;       /* NULL: nobody waits */
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
    char *root;
    char *requires_json;
    struct want *wants; /* NULL: it is cancelled, and not found any more */
    uint64_t changed_ns;
    uint64_t seen; /* how far it was then */
    bool stalled;
};

/** What became of a variant, in a word: one that was there before is "found", as the command line
 * says it. */
const char *job_result_word(enum pkgcache_status status);

/** Tells subscribers of a change of one variant of a job. */
void job_tell_state(struct server *server, const struct want *want, const char *status);

/** Tells subscribers how far a job is. */
void job_tell_progress(struct server *server, const struct job *job);

/** Answers the call that began it, with all results. */
void job_answer(const struct job *job);

/** Writes into the log what became of it. */
void job_log(struct server *server, const struct job *job);
