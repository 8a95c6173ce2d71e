/* Scans: trees that are read and not copied. */
#pragma once

#include "engine/job.h"

/**
 * Makes a job of a scan, and hands it to the schedule.
 *
 * @param ret freed with copyengine_job_free
 * @return    0, -EINVAL, -ENOMEM, or why there is no descriptor for the manifest
 */
int scan_submit(struct engine_common *common, const struct copyengine_scan *scan,
                struct copyengine_job **ret);
