/* Which bytes are in a pack already: files are found by digest, size and holes. */
#pragma once

#include "cache/packing/pack_tree.h"

struct same;

/** A file whose bytes are in the pack. */
struct same_file {
    XXH128_hash_t digest;
    uint64_t size;
    uint64_t position;
    uint64_t stored;
    struct pack_extent *extents; /* NULL: no holes */
    size_t extent_count;
    const struct pack_node *node;
    uint32_t variant;
    uint32_t last_variant; /* that has it, too */
};

/** @return NULL: no memory */
struct same *same_new(void);

/** Finds an equal file. Size must not be 0. @return NULL: there is none; valid until same_add */
struct same_file *same_find(const struct same *same, XXH128_hash_t digest, uint64_t size,
                            const struct pack_extent *extents, size_t extent_count);

/** Adds a file that same_find does not find; what its extents are is copied if it has holes.
 * @return 0 or -ENOMEM */
int same_add(struct same *same, const struct same_file *file);

/** Makes the list of what later variants have, too. @param ret the caller frees it @return 0 or
 * -ENOMEM */
int same_list_shared(const struct same *same, struct pack_shared **ret, size_t *ret_count);

/** NULL is allowed. */
void same_free(struct same *same);
