/* What finding and visiting share. */
#pragma once

#include "cache/rez/definitions.h"
#include "cache/rez/repository.h"

struct repositories {
    struct rezconfig *config; /* the caller's */
    struct definitions definitions;
};

/** LOCATION/NAME/VERSION or LOCATION/NAME, allocated; NULL: no memory. */
char *repository_directory(const struct pkgcache_handle *handle);

/**
 * Whether the definition in a directory is that of a package without versions, called as the
 * directory; see repository_handle.
 */
bool repository_is_unversioned(const char *directory);

/**
 * Answers queries by handle, of definitions that were read.
 *
 * @return 0: each that had the result 0 before has its own; or -ENOMEM
 */
int repository_answer(struct rezconfig *config, const struct definitions *definitions,
                      struct repository_query *queries, size_t count);
