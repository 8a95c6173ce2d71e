/*
 * Which units of a supply may be taken: its parts, whose bytes its caller fills in, in their order,
 * and then what has no bytes. All of this under the schedule's lock.
 */
#pragma once

#include "engine/job.h"

/**
 * Whether the next unit of a supply may be taken: there is one, and memory for it.
 *
 * @param taken_bytes of all supplies' parts that are taken
 */
bool units_has_next(const struct copyengine_job *job, size_t taken_bytes);

/**
 * Takes the next unit; all that are left when the job has stopped.
 *
 * @param taken_bytes changed
 * @return            the unit; the others end before the job's next one
 */
size_t units_take(struct copyengine_job *job, size_t *taken_bytes);

/** Units that were taken are done: their memory is free. */
void units_give_back(const struct copyengine_job *job, size_t first, size_t end,
                     size_t *taken_bytes);
