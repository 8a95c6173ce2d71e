/*
 * Where rez's `filesystem` repositories have packages: between URIs, directories and handles. What
 * a package's definition says of its variants is repository.h's business.
 */
#pragma once

#include "cache/rez/rules.h"
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
 * Takes a URI the other way: the last name for that of a package without versions, where it was
 * taken for a version, or the other way round. For those who know no repositories, and see that
 * what they took it for is not there.
 *
 * @param handle what the URI was taken for
 * @param ret    the caller frees it with handle_free
 * @return       0; -EINVAL: there is no other way; -ENOMEM
 */
int layout_read_otherwise(const char *uri, const struct pkgcache_handle *handle,
                          struct pkgcache_handle **ret);

/** A URI, and the handle that it means. */
struct layout_query {
    const char *uri; /* may be spelled through symbolic links, and with `//`: rez cannot, we can */
    struct pkgcache_handle
        *handle; /* the caller frees it with handle_free; NULL: result is not 0 */
    int result;  /* 0; -EINVAL: no URI; -ENOTSUP: that of a combined package, or no SHA-1; -ESRCH:
                    rez has no such variant; -ENOMEM */
    struct pkgcache_error error;
};

/**
 * Finds the handles that URIs mean. Where a repository begins, and so what is a name and what a
 * version, the rules know of repositories of rez's packages_path. Elsewhere the last name is a
 * version, unless it does not begin with a digit and the definition has it for a name, which need
 * not be there. Links are followed, and definitions read, side by side.
 *
 * @param hides whether what rez does not see is refused (rules_hide)
 * @return      0: each has its result; or -ENOMEM
 */
int layout_find_handles(const struct rules *rules, bool hides, struct layout_query *queries,
                        size_t count);
