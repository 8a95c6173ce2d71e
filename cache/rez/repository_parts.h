/* What finding and visiting share. */
#pragma once

#include "cache/rez/definitions.h"
#include "cache/rez/rules.h"

struct repository_query;
struct rezconfig;

struct repositories {
    struct rezconfig *config; /* the caller's; NULL: only handles are found */
    struct rules rules;       /* of the config, once they were asked for */
    bool has_rules;
    struct definitions definitions;
};

/** Reads the rules, once. @return 0; -EINVAL: a setting is wrong; -ENOMEM */
int repositories_read_rules(struct repositories *repositories, struct pkgcache_error *ret_error);

/**
 * Answers queries, of definitions that were read.
 *
 * @return 0: each has its result; or -ENOMEM
 */
int repository_answer_queries(struct rezconfig *config, const struct definitions *definitions,
                              struct repository_query *queries, size_t count);
