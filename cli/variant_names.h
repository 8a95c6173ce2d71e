/* What people write for variants: what list prints, and names on standard input. */
#pragma once

#include "cache/pkgcache.h"
#include "cli/options.h"

/** What is named, with "-" replaced by the lines of standard input. */
struct variant_names {
    char **texts; /* each allocated */
    size_t count;
};

/**
 * Reads what is named: arguments, and for "-" standard input: one name a line, or, where there is a
 * NUL in it, each up to the next NUL.
 *
 * @param ret freed with variant_names_free, whatever is returned
 * @return    an exit code, or -1: go on
 */
int variant_names_read(const struct options *options, struct variant_names *ret);

void variant_names_free(struct variant_names *names);

/**
 * Looks up what list prints, foo-1.0 or foo-1.0[2] or the path in the cache, in a cache.
 *
 * @param ret_handle the handle as JSON, allocated; NULL: nothing that is cached is called so, or
 *                   the text is a handle or a URI
 * @return           an exit code: several are called so, which are named; or -1: go on
 */
int variant_name_resolve(const struct options *options, struct pkgcache *cache, const char *text,
                         char **ret_handle);

/** Whether a text may be what list prints, rather than a handle or a URI. */
bool variant_name_is_meant(const char *text);

/** Whether it looks like the name of a package, as nearly all of them do. Else, if nothing is
 * called so, it is more likely a mistake than a package that is not cached. */
bool variant_name_is_likely(const char *text);
