/*
 * Where rez's `filesystem` repositories have packages: between URIs, directories and handles. What
 * a package's definition says of its variants is repository.h's business.
 */
#pragma once

#include "cache/rez/definitions.h"
#include "cache/store/handle.h"

/** @return LOCATION/NAME/VERSION or LOCATION/NAME, allocated; NULL: no memory */
char *layout_directory(const struct pkgcache_handle *handle);

/**
 * Where a variant without a subpath (its index is null) is, by its handle alone.
 *
 * @return allocated; NULL: only its definition tells, or there is no memory
 */
char *layout_default_root(const struct pkgcache_handle *handle);

/**
 * Whether a directory is that of a package without versions, called as the directory. What begins
 * with a digit is taken for a version; of others the definition is read, which need not be there.
 *
 * @param definitions where it is read, and remembered
 */
bool layout_is_unversioned(struct definitions *definitions, const char *directory);

/** A URI, and the handle that it means. */
struct layout_query {
    const char *uri; /* may be spelled through symbolic links, and with `//`: rez cannot, we can */
    struct pkgcache_handle
        *handle; /* the caller frees it with handle_free; NULL: result is not 0 */
    int result; /* 0; -EINVAL: no URI; -ENOTSUP: that of a combined package, or as of handle_create;
                   -ENOMEM */
    struct pkgcache_error error;
};

/**
 * Finds the handles that URIs mean: of the paths alone, as a rule; see layout_is_unversioned. Links
 * are followed, and definitions read, side by side.
 *
 * @param definitions where definitions are read, and remembered
 * @return            0: each has its result; or -ENOMEM
 */
int layout_find_handles(struct definitions *definitions, struct layout_query *queries,
                        size_t count);
