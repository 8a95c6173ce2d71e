/* What the threads of an engine have of their own: a umask, an I/O priority, their processors. */
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

struct engine_thread_settings {
    cpu_set_t processor_set; /* that the engine may use */
    bool idle_priority;      /* ioprio_set(2) */
    atomic_bool *modes_masked;
};

/**
 * What a thread of the engine does first: a umask of its own, its I/O priority.
 *
 * @param settings where it cannot have a umask of its own, *modes_masked becomes true
 * @return         whether it leaves a processor to others
 */
bool engine_thread_enter(const struct engine_thread_settings *settings);

/**
 * Leaves a processor to others, or does no longer, when that was asked for: see
 * copyengine_leave_processor().
 *
 * @param one_is_left what the calling thread does so far
 */
void engine_thread_choose_processors(const struct engine_thread_settings *settings,
                                     bool *one_is_left);
