/* What is said of jobs: to subscribers, to who waits, in the log, and by method status. */
#pragma once

#include "cache/service/job.h"

/** Notifies subscribers of a change of one variant of a job. @param status a word */
void job_notify_state(struct connections *connections, const struct want *want, const char *status);

/** Notifies subscribers that a variant is done. */
void job_notify_result(struct connections *connections, const struct want *want);

/** Notifies subscribers how far a job is. */
void job_notify_progress(struct connections *connections, const struct job *job);

/** Answers the call that began it, before it is done. */
void job_answer_begun(const struct call *call, const struct job *job);

/** Answers the call that began it, with all results. */
void job_answer_results(const struct job *job);

/** Writes into the log what became of it. */
void job_log_end(struct pkgcache *cache, const struct job *job);

/** Writes into the log that a variant gets no further. @param grace_s for so long */
void job_log_stalled(struct pkgcache *cache, const struct work *work, unsigned grace_s);

/** Adds jobs and their work to a status: the members "jobs" and "work". */
void job_add_status(cJSON *status, const struct job *jobs, struct work *works);
