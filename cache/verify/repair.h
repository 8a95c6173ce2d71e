/* Replacing damaged payloads by new copies of their sources. */
#pragma once

#include "cache/store/slot_manifest.h"
#include "cache/store/slot_name.h"

/** A damaged payload. */
struct repair {
    const struct pkgcache_handle *handle;
    const char *slot_name;
    struct slot_manifest_payload payload; /* that was found damaged */
    const char *source_root;              /* NULL: not known */
    bool repaired;                        /* what became of it */
    char *reason;                         /* why not, for people; the caller frees it */
};

/**
 * Repairs what can be repaired.
 *
 * @param cancel_fd readable: stop; -1: none
 * @return          0 when each has a result of its own; else as pkgcache_warm
 */
int repair_all(struct pkgcache *cache, struct repair *repairs, size_t count, int cancel_fd,
               struct pkgcache_error *ret_error);
