/* Which threads of the daemon go first where processors are scarce: clients wait microseconds for
 * an answer, and seconds for a copy. */
#pragma once

/** The calling thread answers clients. */
void precedence_answers(void);

/** The calling thread copies, and so do those that it starts. */
void precedence_copies(void);
