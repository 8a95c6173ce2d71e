/* Replacing damaged payloads by new copies of their sources. */
#pragma once

#include "cache/store/slot_manifest.h"
#include "cache/store/slot_name.h"

#include <sys/types.h>

/** A damaged payload. */
struct repair {
    const struct pkgcache_handle *handle;
    const char *slot_name;
    struct slot_manifest_payload payload; /* that was found damaged */
    uid_t uid;                            /* who vouches for the source */
    bool is_unvouched;                    /* others than that user can have said it */
    const char *source_root;              /* NULL: not known */
    bool repaired;                        /* what became of it */
    char *reason;                         /* why not, for people; the caller frees it */
};

/** How repairs are made. */
struct repair_how {
    int cancel_fd; /* readable: stop; -1: none */
    int (*on_progress)(void *context, const struct pkgcache_progress *progress); /* may be NULL */
    void *context;
};

/**
 * Repairs with the rights that this process has, whoever vouches for the sources.
 *
 * @return 0 when each has a result of its own; else as pkgcache_warm
 */
int repair_run(struct pkgcache *cache, struct repair *const *repairs, size_t count,
               const struct repair_how *how, struct pkgcache_error *ret_error);

/** Says why one was not repaired. */
void repair_give_reason(struct repair *repair, const char *format, ...) PRINTF_LIKE(2, 3);
