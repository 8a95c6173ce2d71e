/* What people call a variant. */
#pragma once

#include "cache/rez/rules.h"
#include "cache/store/handle.h"

enum { URI_MEMO_PLACES = 256 };

/** What definitions were found, so that storage is asked once for each package, not for each of its
 * variants. Starts zeroed, and is freed with uri_memo_free(). */
struct uri_memo {
    struct uri_place {
        char *directory;
        char *file; /* the name of the definition there */
    } places[URI_MEMO_PLACES];
};

/**
 * The URI: the definition's path, then the index in brackets, empty for none. One whose definition
 * is gone is said to have a package.py.
 *
 * @param rules what definitions are called
 * @param memo  NULL: storage is asked
 * @return      allocated; NULL: no memory
 */
char *variant_uri(const struct rules *rules, struct uri_memo *memo,
                  const struct pkgcache_handle *handle);

void uri_memo_free(struct uri_memo *memo);
