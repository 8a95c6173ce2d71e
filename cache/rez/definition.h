/*
 * What rez's package definitions (package.py, package.yaml) say that matters for a cache. Where the
 * definition is, and what follows from it for a variant, is repository.h's business.
 */
#pragma once

#include "cache/rez/definition_text.h"
#include "cache/rez/rules.h"

/** Where a definition is. */
struct definition_place {
    const char *directory; /* LOCATION/NAME/VERSION, or LOCATION/NAME */
    bool unversioned;      /* LOCATION/NAME */
    const char *context;   /* a context's file: what is bound late may differ in it; NULL: none */
};

/**
 * Reads the definition in a directory: package.py, else package.yaml, or what the rules say. What
 * is not literal is asked of rez, where it is installed (see rezpython.h).
 *
 * @param ret the caller ends it with definition_free
 * @return    0; -ENOENT: there is none; -EBADMSG: it cannot be read (the message names the file,
 *            the line and the attribute); or -errno
 */
int definition_read(const struct rules *rules, const struct definition_place *place,
                    struct definition **ret, struct pkgcache_error *ret_error);

/**
 * The same for many at once: files are read side by side, and rez is started at most once.
 *
 * @param rets    one for each place; NULL where results[i] is not 0
 * @param results as of definition_read
 * @param errors  one for each
 */
void definition_read_many(const struct rules *rules, const struct definition_place *places,
                          size_t count, struct definition **rets, int *results,
                          struct pkgcache_error *errors);

/**
 * Reads what is literal in a definition, and asks nobody.
 *
 * @return the definition, ended with definition_free; NULL: there is none, or it cannot be read so
 */
struct definition *definition_peek(const struct rules *rules, const char *directory);

/** NULL is fine. */
void definition_free(struct definition *definition);
