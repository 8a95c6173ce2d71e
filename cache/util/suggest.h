/* "Did you mean ...?": the name that a mistyped one is close to. */
#pragma once

#include <stddef.h>

/** Starts as `struct suggestion suggestion = {.typed = word};`. */
struct suggestion {
    const char *typed; /* the caller's */
    const char *best;  /* NULL: nothing is close */
    size_t distance;   /* of the best */
};

/**
 * Looks at one of the names that there are. Capitals count as small letters, `_` as `-`.
 *
 * @param name must outlive the suggestion; of those that are equally close the first is the best
 */
void suggestion_try(struct suggestion *suggestion, const char *name);
