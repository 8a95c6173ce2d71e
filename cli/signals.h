/* SIGINT and SIGTERM as a descriptor that becomes readable, for work that ends cleanly. */
#pragma once

/**
 * From now on both signals do nothing but make the descriptor readable. Before any thread starts.
 *
 * @return the descriptor, open as long as the process; -1: the signals end the process as ever
 */
int signals_open(void);

/** @return what signals_open returned; -1: not called */
int signals_fd(void);

/** @return the signal that arrived; SIGINT when there was none */
int signals_received(void);

/** Has the signals end the process again, as at first, for what has its own way with them. */
void signals_close(void);
