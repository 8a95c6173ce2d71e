/* What a published manifest was made of: the payload's root, and the definition of its package. */
#pragma once

#include "cache/store/handle.h"

#include <sys/stat.h>
#include <time.h>

/** Times of a file or directory that tell whether it was changed. */
struct published_times {
    struct timespec mtime;
    struct timespec ctime;
};

/** A name that the definition of a package may have, in the directory of the package. */
struct published_definition {
    const char *name;
    bool exists;
    uint64_t size; /* of these, if it does */
    struct published_times times;
};

struct published_times published_times_of(const struct stat *status);

bool published_times_equal(const struct published_times *a, const struct published_times *b);

/** Opens the directory of a package, where its definition is. @return a descriptor (O_PATH) or
 * -errno */
int published_open_package(const struct pkgcache_handle *handle);

/**
 * Finds out what is under a name that a definition may have.
 *
 * @param package_fd what published_open_package returned; -ENOENT: there is no such directory
 * @param name       stays the caller's
 * @return           0, also when there is nothing; or -errno
 */
int published_definition_find(int package_fd, const char *name, struct published_definition *ret);

/** Whether two are the same, but for the name. */
bool published_definition_equal(const struct published_definition *a,
                                const struct published_definition *b);
