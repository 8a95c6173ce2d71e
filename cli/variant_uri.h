/* What people call a variant. */
#pragma once

#include "cache/store/handle.h"

/**
 * The URI: the definition's path, then the index in brackets, empty for none. One whose definition
 * is gone is said to have a package.py.
 *
 * @return allocated; NULL: no memory
 */
char *variant_uri(const struct pkgcache_handle *handle);
