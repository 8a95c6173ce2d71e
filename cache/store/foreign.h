/*
 * Directories that are no caches: a mistyped path must harm nobody. What is foreign within a cache
 * is named by damage.h.
 */
#pragma once

#include "cache/util/error.h"

#include <stdbool.h>

/**
 * Whether a directory may become a cache: nothing is in it, but for what file systems put there.
 *
 * @param fd   the directory
 * @param path for the message
 * @return     0; -ENOTEMPTY: something is in it (the message says what); or -errno
 */
int foreign_check_new(int fd, const char *path, struct pkgcache_error *ret_error);

enum { FOREIGN_PATH_MAX = 768 }; /* three names */

/**
 * Looks for package definitions where a cache has none: in it, and in the directories of its names
 * and versions. Then it is a repository, whatever else it is.
 *
 * @param fd       the directory
 * @param ret_path of the first that was found, relative to it
 * @return         whether there is one
 */
bool foreign_find_definition(int fd, char ret_path[static FOREIGN_PATH_MAX]);
