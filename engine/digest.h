/*
 * XXH3-128 of contents, with the widest vectors that this processor has: twice as fast as what
 * every x86 processor has. libxxhash's shared library chooses at run time (xxh_x86dispatch.h); its
 * archive does not have those functions, so they are weak here.
 */
#pragma once

#include <stddef.h>
#include <xxhash.h>

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>

#pragma weak XXH3_128bits_dispatch
#pragma weak XXH3_128bits_update_dispatch

#define DIGEST_DISPATCHED(function) (function##_dispatch ? function##_dispatch : (function))
#else
#define DIGEST_DISPATCHED(function) function
#endif

static inline XXH128_hash_t digest_of(const void *data, size_t length)
{
    return DIGEST_DISPATCHED(XXH3_128bits)(data, length);
}

/** `state` was begun with XXH3_128bits_reset, and is asked with XXH3_128bits_digest. */
static inline void digest_update(XXH3_state_t *state, const void *data, size_t length)
{
    DIGEST_DISPATCHED(XXH3_128bits_update)(state, data, length);
}
