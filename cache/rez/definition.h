/*
 * What rez's package definitions (package.py, package.yaml) say that matters for a cache. Where the
 * definition is, and what follows from it for a variant, is repository.h's business.
 */
#pragma once

#include "cache/rez/definition_text.h"

/**
 * Reads the definition in a directory: package.py, else package.yaml, as rez does. What is not
 * literal is asked of rez, where it is installed (see rezpython.h).
 *
 * @param directory LOCATION/NAME/VERSION or LOCATION/NAME
 * @param ret       the caller ends it with definition_free
 * @return          0; -ENOENT: there is none; -EBADMSG: it cannot be read (the message names the
 *                  file, the line and the attribute); or -errno
 */
int definition_read(const char *directory, struct definition **ret,
                    struct pkgcache_error *ret_error);

/**
 * The same for many at once: files are read side by side, and rez is started at most once.
 *
 * @param rets    one for each directory; NULL where results[i] is not 0
 * @param results as of definition_read
 * @param errors  one for each
 */
void definition_read_many(const char *const *directories, size_t count, struct definition **rets,
                          int *results, struct pkgcache_error *errors);

/** NULL is fine. */
void definition_free(struct definition *definition);
