/* Whether rez would cache a package: what its definition says, else what rez's settings say. */
#pragma once

#include "cache/rez/definition.h"
#include "cache/rez/rezconfig.h"
#include "cache/store/handle.h"

/**
 * @param ret         whether it may be cached
 * @param ret_said_by what says so, for people; static
 * @return            0; -EINVAL: a setting is wrong; -ENOMEM
 */
int cachable_find(struct rezconfig *config, const struct pkgcache_handle *handle,
                  const struct definition *definition, bool *ret, const char **ret_said_by,
                  struct pkgcache_error *ret_error);
