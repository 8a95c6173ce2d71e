/* What a variant of a pack consists of, as the engine takes it. */
#pragma once

#include "cache/pack/pack_reader.h"

struct block;

struct pack_contents {
    struct copyengine_contents contents;
    uint32_t *frames; /* of each part */
    /* Private: */
    struct copyengine_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    struct copyengine_extent *extents;
    size_t extent_count;
    size_t extent_capacity;
    size_t *part_bytes;
    struct block *blocks; /* of all strings and attributes */
};

/**
 * Reads all entries of a variant.
 *
 * @param job of the engine, which hears that they arrive; it is stopped: not all are read
 * @param ret all zero; freed with pack_contents_free, also on failure
 * @return    0, -EBADMSG, -ENOMEM, -ECANCELED, or what read says. The message names pack and
 * variant
 */
int pack_contents_read(const struct pack *pack, size_t variant, struct copyengine_job *job,
                       struct pack_contents *ret, struct pkgcache_error *error);

/** Has a symbolic link say something else; the text is copied. @return 0 or -ENOMEM */
int pack_contents_set_target(struct pack_contents *contents, size_t entry, const char *target);

void pack_contents_free(struct pack_contents *contents);
