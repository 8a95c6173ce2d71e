/* What finding and visiting share. */
#pragma once

#include "cache/rez/definitions.h"

struct repository_query;
struct rezconfig;

struct repositories {
    struct rezconfig *config; /* the caller's */
    struct definitions definitions;
};

/**
 * Answers queries, of definitions that were read.
 *
 * @return 0: each has its result; or -ENOMEM
 */
int repository_answer_queries(struct rezconfig *config, const struct definitions *definitions,
                              struct repository_query *queries, size_t count);
