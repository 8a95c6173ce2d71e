/* How many workers share a job, and which of its files each takes at once: some of one directory.
 * All of this under the schedule's lock. */
#pragma once

#include "engine/schedule_state.h"

/** How many blocking workers may copy from the source of a job. */
unsigned slice_share_of_blocking(struct schedule *schedule, const struct copyengine_job *job);

/** How many of the first workers, which do not block, may copy files of a job. */
unsigned slice_share_of_first(struct schedule *schedule, const struct copyengine_job *job);

/** How many of them may take files that are on this machine. */
unsigned slice_share_of_local(struct schedule *schedule, const struct copyengine_job *job);

/** Takes files of a job's queue, which is not empty. */
struct slice slice_take_files(struct schedule *schedule, struct copyengine_job *job);

/** Takes files of its local batches, of which there are some. */
struct slice slice_take_local(struct schedule *schedule, struct copyengine_job *job);
