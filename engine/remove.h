/* Removing trees. */
#pragma once

#include "engine/job.h"

/** Also what a copy becomes that failed and is to be removed again. */
extern const struct job_kind remove_kind;

/**
 * Makes a job of a removal, and hands it to the schedule.
 *
 * @param ret freed with copyengine_job_free
 * @return    0, -EINVAL, -ENOMEM
 */
int remove_submit(struct engine_common *common, const struct copyengine_removal *removal,
                  struct copyengine_job **ret);
