/* Which threads of the daemon go first where processors are scarce: clients wait microseconds for
 * an answer, and seconds for a copy. */
#pragma once

#include <sched.h>
#include <stdbool.h>

/** The calling thread answers clients. */
void precedence_answers(void);

/** The calling thread copies, and so do those that it starts. */
void precedence_copies(void);

/** Whether threads that copy leave one of the processors to others, if there are several. */
void precedence_leave_processor(bool leave);

/** The processors of a thread that copies. */
struct precedence {
    cpu_set_t processors;
    bool one_is_left;
};

/** The calling thread begins to copy. It is one that precedence_copies() was called for. */
void precedence_begin_copying(struct precedence *ret);

/** Leaves a processor to others, or does no longer, if that was asked for since; the threads of
 * engines do that by themselves. */
void precedence_go_on_copying(struct precedence *precedence);

/** Uses all processors, so that an engine that the thread starts next counts them all. */
void precedence_end_copying(struct precedence *precedence);
