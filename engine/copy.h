/* Copies of trees. */
#pragma once

#include "engine/job.h"

/**
 * Makes a job of a copy, and hands it to the schedule.
 *
 * @param ret freed with copyengine_job_free
 * @return    0, -EINVAL, -ENOMEM, or why there is no descriptor for the manifest
 */
int copy_submit(struct engine_common *common, const struct copyengine_copy *copy,
                struct copyengine_job **ret);
