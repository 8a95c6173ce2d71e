/*
 * Who does what next: which directory a reader reads, which files a worker copies, of all jobs of
 * an engine; and how many threads there are for it. Knows jobs, and of a worker only its seat; how
 * a file is copied, or a thread started, is others' business. See schedule.c.
 */
#pragma once

#include "engine/schedule_state.h"

/**
 * Begins without threads; processors, batches_max, queues and the tuners are the caller's to set.
 *
 * @param threads         NULL: there will be none
 * @param threads_context handed to its functions
 */
void schedule_init(struct schedule *schedule, const struct schedule_threads *threads,
                   void *threads_context);
void schedule_destroy(struct schedule *schedule);

/** Starts threads until there are as many. @return 0 or -errno of the first that did not start */
int schedule_start_threads(struct schedule *schedule, unsigned workers, unsigned readers);

/**
 * Stops: readers that wait for a directory return without one. The caller has to wake the workers.
 *
 * @return whether jobs are left, of which threads hang
 */
bool schedule_stop(struct schedule *schedule);

static inline bool schedule_is_stopping(struct schedule *schedule)
{
    return atomic_load(&schedule->stopping);
}

/**
 * Takes in a job, and begins with it. The schedule keeps a reference until the job has ended.
 *
 * @param job with one reference, which is taken over on failure
 * @param ret the job, set before it begins
 * @return    0, -ENOMEM
 */
int schedule_submit(struct schedule *schedule, struct copyengine_job *job,
                    struct copyengine_job **ret);

/**
 * Adds a directory that is to be read: the root of a tree, with which a job begins, or what a copy
 * made that failed is removed; or one that was read to its end, and is where it began, once more.
 */
void schedule_add_directory(struct schedule *schedule, struct directory *directory);

/** Takes out a job of which nothing is under way. */
void schedule_remove_job(struct schedule *schedule, struct copyengine_job *job);

/** A reader's thread has begun. */
void schedule_enter_reader(struct schedule *schedule);

/**
 * Waits for a directory that a reader should read now, of the job that has had least.
 *
 * @return NULL: the schedule was stopped
 */
struct directory *schedule_take_directory(struct schedule *schedule);

/**
 * Gives back a directory that was taken, with what was found in it.
 *
 * @param more        it is not at its end, and to be read again
 * @param directories found in it, linked by `next`
 * @param batches     of files, linked by `next`
 */
void schedule_give_directory(struct schedule *schedule, struct directory *directory, bool more,
                             struct directory *directories, struct batch *batches);

/** Adds batches that no reader found. */
void schedule_add_batches(struct schedule *schedule, struct copyengine_job *job,
                          struct batch *batches);

/** Adds a shared file, of which no range is taken. */
void schedule_add_file(struct schedule *schedule, struct copyengine_job *job, struct file *file);

/** Says that a shared file has no data before an offset, beyond what is taken: nobody takes that.
 */
void schedule_skip_hole(struct schedule *schedule, struct file *file, uint64_t offset);

/** Adds batches of files that are on this machine, whatever the source is. */
void schedule_add_local_batches(struct schedule *schedule, struct copyengine_job *job,
                                struct batch *batches);

/** Adds the units of a supply, whose root is made. None of them is ready. */
void schedule_add_units(struct schedule *schedule, struct copyengine_job *job, size_t count);

/** Says that so many units of a supply, from the first on, may be taken. */
void schedule_ready_units(struct schedule *schedule, struct copyengine_job *job, size_t count);

/** Units of a supply that were taken are done: their memory is free. */
void schedule_release_units(struct schedule *schedule, struct copyengine_job *job, size_t first,
                            size_t end);

/**
 * Takes files to copy, a range, a directory to be read, or a unit, of the job that has had least.
 * Marks the worker as idle when there is nothing to do.
 *
 * @param seat the calling worker's
 * @return     false: nothing
 */
bool schedule_take_slice(struct schedule *schedule, struct seat *seat, struct slice *ret);

/** A file or a range was completed: counts it, and lets the tuners measure now and then. */
void schedule_count_completed(struct schedule *schedule);
