/* The head of a published manifest (docs/manifests.md): whose it is, and of what it was made. */
#pragma once

#include "cache/pack/pack.h"
#include "cache/published/published_format.h"
#include "cache/published/published_sources.h"
#include "cache/util/error.h"

/** What a head says. All strings are `bytes`'. */
struct published_head {
    struct pack_variant variant; /* handle, root, counts, and the digest of its entries */
    uint64_t stored;             /* bytes of its entries, compressed: all that follows the head */
    uint64_t size;               /* uncompressed */
    struct published_times root; /* of the payload's root */
    struct published_definition definitions[PUBLISHED_DEFINITIONS_MAX];
    size_t definition_count;
    size_t length; /* bytes of the head itself */
    char *bytes;
};

/**
 * Reads the head of an open manifest, whatever is in the file.
 *
 * @param fd   of a regular file; its position is not used
 * @param name for messages
 * @param ret  freed with published_head_free, whatever is returned
 * @return     0; -EBADMSG: it is none, or damaged, or of another version, or claims more than may
 *             be, or than the file has; -ENOMEM; or what read says. The message names it
 */
int published_head_read(int fd, const char *name, struct published_head *ret,
                        struct pkgcache_error *error);

/** Appends the head that says this. `length` and `bytes` are not used. */
void published_head_append(struct text *text, const struct published_head *head);

void published_head_free(struct published_head *head);

#define CLEANUP_PUBLISHED_HEAD __attribute__((cleanup(published_head_free)))
