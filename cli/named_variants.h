/* What get, remove, verify and add share: the variants that the command line, or standard input,
 * names; and an open cache. */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/sources.h"
#include "cli/variant_names.h"

struct named_variant {
    const char *text;                     /* as it was named */
    const char *name;                     /* for people */
    const struct pkgcache_handle *handle; /* NULL: missing */
    bool missing;                         /* the name of a package, and nothing is called so */
    char *resolved;                       /* the handle of a name, as JSON */
    struct pkgcache_handle *other;        /* private: another way to read a URI */
};

struct named_variants {
    struct pkgcache *cache; /* NULL: nothing needed it yet */
    struct named_variant *items;
    size_t count;

    /* What the items point into. */
    struct variant_names names;
    struct sources sources;
};

/** Reads the variants; opens no cache unless one is named as list prints it. @return as
 * named_variants_open */
int named_variants_read(struct options *options, struct named_variants *ret);

/** Reads the variants, and opens the cache. @return an exit code to end with, or -1: go on;
 * named_variants_close in any case */
int named_variants_open(struct options *options, struct named_variants *ret);

/**
 * Takes a URI whose variant is not in the cache, which must be open, the other way (layout.h), if
 * that is in the cache: rez's settings, which would tell, are not read here.
 *
 * @return whether its handle is another one now
 */
bool named_variants_reread(struct named_variants *named, size_t i);

void named_variants_close(struct named_variants *named);

/** Opens the cache of the settings, which must exist, unless it is open. @return an exit code, or
 * -1: go on */
int open_cache(struct options *options, struct pkgcache **ret);
