/* Which threads of the daemon go first where processors are scarce: clients wait microseconds for
 * an answer, and seconds for a copy. */
#pragma once

#include <stdbool.h>

/** The calling thread answers clients. */
void precedence_answers(void);

/** The calling thread copies, and so do those that it starts. */
void precedence_copies(void);

/** Whether threads that copy leave one of the processors to others, if there are several. */
void precedence_leave_processor(bool leave);

/** The calling thread, which copies, does so if that was asked for; those of engines do it by
 * themselves. To be called now and then. */
void precedence_choose_processors(void);
