/* Trees that are made of what the caller supplies: entries, all known at first, and the bytes of
 * their files in parts. How one unit of them is made is in transfer_supply.c. */
#pragma once

#include "engine/job.h"
#include "engine/supplied.h"

/**
 * Makes a job of a supply, and hands it to the schedule.
 *
 * @param ret freed with copyengine_job_free
 * @return    0, -EINVAL, -ENOMEM, or why there is no descriptor
 */
int supply_submit(struct engine_common *common, const struct copyengine_supply *supplied,
                  struct copyengine_job **ret);
