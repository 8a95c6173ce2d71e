/* What get and remove share: an open cache, and the variants that the command line names. */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/sources.h"
#include "cli/options.h"

struct each {
    struct pkgcache *cache; /* NULL: each_open_variants was called */
    struct sources sources; /* one for each argument, in order */
};

/** Only reads the variants. @return as each_open */
int each_open_variants(struct options *options, struct each *ret);

/** @return an exit code to end with, or -1: go on; each_close in any case */
int each_open(struct options *options, struct each *ret);

void each_close(struct each *each);

/** Opens the cache of the settings, which must exist. @return an exit code, or -1: go on */
int open_cache(struct options *options, struct pkgcache **ret);
