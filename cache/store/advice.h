/* What to do about an error that a cache met. */
#pragma once

#include "cache/store/cache.h"

/**
 * What to do about an error of a call in the cache.
 *
 * @param path where in the cache, relative to it
 * @param code an errno value, positive
 * @return     words to append to a message; "" where the error says it all
 */
const char *cache_advice(const struct pkgcache *cache, const char *path, int code);
