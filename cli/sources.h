/* From what the command line names to variants with their roots. */
#pragma once

#include "cache/handle.h"
#include "cli/options.h"

/** What a source, or an argument, named. */
struct source_variant {
    struct pkgcache_handle *handle; /* NULL: it could not be read */
    char *handle_json;              /* as it was named; NULL: not at all */
    char *text;                     /* what it is called, for people */
    char *root;                     /* absolute; NULL: not known */
    char *reason;                   /* why it cannot be cached; NULL: it can */
};

struct sources {
    struct source_variant *items;
    size_t count;
};

/**
 * Reads a SOURCE: a manifest, or "-" for standard input (one source a line, or one manifest).
 *
 * @return 0, or -errno with ret_error filled in; variants that are refused are items with a reason
 */
int sources_read(struct sources *sources, const char *source, struct pkgcache_error *ret_error);

/**
 * Adds a VARIANT: a handle as JSON.
 *
 * @param root where its payload is; NULL: where its repository has it
 * @return     0; -EINVAL: no JSON at all; -ENOMEM. A handle that is refused is an item with a
 * reason
 */
int sources_add_variant(struct sources *sources, const char *text, const char *root,
                        struct pkgcache_error *ret_error);

/**
 * Drops what is named twice. With two different roots neither can be right: both get a reason.
 *
 * @return 0 or -ENOMEM
 */
int sources_unite(struct sources *sources);

/**
 * Where a variant without a subpath (its index is null) is, by its handle alone.
 *
 * @return allocated; NULL: only its definition tells, or there is no memory
 */
char *sources_default_root(const struct pkgcache_handle *handle);

void sources_free(struct sources *sources);
