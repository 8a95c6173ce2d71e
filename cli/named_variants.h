/* What get, remove and verify share: an open cache, and the variants that the command line names.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/sources.h"
#include "cli/options.h"

struct named_variants {
    struct pkgcache *cache; /* NULL: only named_variants_read was called */
    struct sources sources; /* one for each argument, in order */
};

/** Only reads the variants, and opens no cache. @return as named_variants_open */
int named_variants_read(struct options *options, struct named_variants *ret);

/** Reads the variants, and opens the cache. @return an exit code to end with, or -1: go on;
 * named_variants_close in any case */
int named_variants_open(struct options *options, struct named_variants *ret);

void named_variants_close(struct named_variants *named);

/** Opens the cache of the settings, which must exist. @return an exit code, or -1: go on */
int open_cache(struct options *options, struct pkgcache **ret);
