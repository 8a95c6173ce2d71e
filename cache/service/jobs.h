/*
 * What clients want cached: a job for each request of method warm, and one piece of work for each
 * variant, however many jobs want it. The copying is the copier's.
 */
#pragma once

#include "cache/rez/sources.h"
#include "cache/service/errands.h"
#include "cache/service/job.h"

enum {
    JOBS_MAX = 4096,
    JOBS_OF_CONNECTION_MAX = 256,
    WANTS_MAX = 262144,         /* variants of all jobs */
    WANTS_OF_USER_MAX = 131072, /* so that others get in */
};

struct jobs {
    struct loop *loop;
    struct pkgcache *cache; /* whose log is written to */
    struct copier *copier;
    struct errands *reading;         /* for roots that have to be found */
    struct connections *connections; /* subscribers among them */
    struct counters *counters;
    unsigned stall_grace_s; /* as the settings are now */
    struct job *first;      /* private, as all below but for what report.h tells */
    struct job *last;
    size_t count;
    uint64_t last_number;
    size_t wants;       /* variants of all jobs that are not done */
    struct work *works; /* all, also those that nobody wants any more */
    size_t work_count;
    void *by_handle; /* tsearch(3): of those that somebody wants */
    struct loop_timer progress_timer;
    uint64_t files; /* copied by those that are done */
    uint64_t bytes;
    uint64_t reused_files; /* of `files` */
    uint64_t reused_bytes; /* of `bytes` */
};

/** How a job is to be done. */
struct job_options {
    enum copyengine_priority priority;
    bool wait;     /* the call is answered when all are done */
    bool progress; /* the connection is notified of it */
    bool force;
    bool named; /* by sources: results say which variant each is, and roots are found */
};

/** Begins with jobs: whose members that are not private are set. */
void jobs_init(struct jobs *jobs);

/**
 * Begins a job, and answers the call now or when it is done.
 *
 * @param variants with or without roots, in the order of the results; what they point to is taken
 *                 over
 */
void jobs_begin(struct jobs *jobs, const struct call *call, struct source_variants *variants,
                const struct job_options *options);

/** Cancels a job; what nobody else wants is rolled back. @return 0; -ENOENT; -EPERM: not the peer's
 */
int jobs_cancel(struct jobs *jobs, const struct peer *peer, uint64_t number);

/** Takes what the copier has done, and tells those who want it. */
void jobs_take_done(struct jobs *jobs);

/** Whether there is a job. */
bool jobs_contain(const struct jobs *jobs, uint64_t number);

/** A connection has ended: the jobs that it waits for are cancelled, others go on. */
void jobs_end_connection(struct jobs *jobs, const struct connection *connection);

/** Frees all. The copier has been stopped, and what it did was taken. */
void jobs_free(struct jobs *jobs);
