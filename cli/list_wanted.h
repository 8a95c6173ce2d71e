/* Which variants list is to show: patterns of names, and all that names one variant. */
#pragma once

#include "cache/pkgcache.h"
#include "cli/variant_names.h"

/** What was asked for. */
struct list_wanted {
    struct variant_names names;
    struct list_wanted_one {
        const char *text;
        struct pkgcache_handle *handle; /* NULL: the text is a pattern, a name or a path */
        struct pkgcache_handle *other;  /* the URI read the other way (layout.h); NULL: none */
    } * items;
    size_t count; /* 0: all variants */
};

/**
 * Reads the arguments, and for "-" standard input: patterns for names (fnmatch(3)), what list
 * prints, URIs and handles.
 *
 * @param ret freed with list_wanted_free, whatever is returned
 * @return    an exit code, or -1: go on
 */
int list_wanted_read(const struct options *options, struct list_wanted *ret);

void list_wanted_free(struct list_wanted *wanted);

/** Whether a variant was asked for. */
bool list_wanted_has(const struct list_wanted *wanted, const struct pkgcache_entry *entry);
