/* Which ranges of a job's large files are next: many workers copy one file at once. */
#pragma once

#include "engine/job.h"

/**
 * Takes the next range of the job's first large file that has any left; all that is left of it when
 * the job has stopped. Under the schedule's lock.
 *
 * @param job       has such a file
 * @param ret_begin first byte of the range
 * @param ret_end   one behind its last
 * @return          the file, with one reference for the caller
 */
struct file *ranges_take(struct copyengine_job *job, uint64_t *ret_begin, uint64_t *ret_end);
