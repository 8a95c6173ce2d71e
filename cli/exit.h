/* Exit codes, as the manual page documents them. */
#pragma once

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,    /* none was done, or the cache cannot be used */
    EXIT_USAGE = 2,     /* the command line, or a setting, is wrong */
    EXIT_MISSING = 3,   /* get: at least one is not there; remove: none was */
    EXIT_PARTLY = 4,    /* some were refused, skipped or failed */
    EXIT_LOCKED = 5,    /* the lock could not be had in time */
    EXIT_FINDINGS = 6,  /* doctor: there is something to do */
    EXIT_SIGNALED = 128 /* plus the number of the signal */
};
