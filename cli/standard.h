/* The standard descriptors, as whoever starts us may have left them. */
#pragma once

/**
 * Descriptors 0 to 2 that whoever started us has closed must not become those of files: what is
 * printed would go there. They are opened the wrong way round, so that their use still fails.
 */
void standard_keep_descriptors(void);

/** Ends a process. What waits for a source that hangs does not hold it up. @return code */
int standard_end(int code);
