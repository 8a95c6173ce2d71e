/* Variants as method list answers them: the daemon writes them, its clients read them. */
#pragma once

#include "cache/json/json.h"
#include "cache/json/json_build.h"
#include "cache/pkgcache.h"

/** @return a variant, with the keys that `pkgcache list --json` has; the entry must outlive it */
cJSON *listing_build(const struct pkgcache_entry *entry);

/**
 * Reads what that wrote, and shows it to whoever lists.
 *
 * @param visit as for pkgcache_list
 * @return      what `visit` returned; -EBADMSG: it is no variant; -ENOMEM, -ENOTSUP
 */
int listing_show(const struct json *value,
                 int (*visit)(void *context, const struct pkgcache_entry *entry), void *context,
                 struct pkgcache_error *ret_error);
