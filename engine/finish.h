/* How a job ends: its manifest, its result, its owner's callback. */
#pragma once

#include "engine/job.h"

/** Writes the end of the manifest, if there is one and the job did not stop. @param side that an
 * error names */
void finish_manifest(struct copyengine_job *job, enum job_side side);

/** The result stands from now on. @return false: it did already */
bool finish_settle(struct copyengine_job *job);

/** Ends a job for its owner, once its result stands: calls on_done, and wakes who waits for it. */
void finish_report(struct copyengine_job *job);

/**
 * Takes a job of which nothing is under way off the schedule, and drops the schedule's reference.
 *
 * @param report whether to end it for its owner as well
 */
void finish_leave(struct copyengine_job *job, bool report);
