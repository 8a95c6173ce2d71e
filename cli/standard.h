/* What a process begins with, as whoever starts us may have left it. */
#pragma once

/**
 * Descriptors 0 to 2 that whoever started us has closed must not become those of files: what is
 * printed would go there. They are opened the wrong way round, so that their use still fails.
 */
void standard_keep_descriptors(void);

/** A limit of file sizes (ulimit -f) is an error of the write that meets it, as a full disk is: the
 * signal that the kernel sends with it would end us half-way. */
void standard_ignore_signals(void);

/** Ends a process. What waits for a source that hangs does not hold it up. @return code */
int standard_end(int code);
