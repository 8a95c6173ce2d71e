/*
 * Making published manifests (published.h). The engine scans and digests the payload; what a scan
 * does not tell (links' texts, extended attributes, other names of files) is asked for afterwards.
 * The same payload makes the same bytes. Memory is 8 bytes for each entry, and what one batch of
 * entries needs.
 */
#pragma once

#include "cache/pack/pack_reader.h"
#include "cache/published/published_head.h"
#include "cache/util/error.h"
#include "engine/copyengine.h"

struct publishing {
    struct copyengine *engine;
    const char *const *definitions; /* names that the definition of a package may have */
    size_t definition_count;        /* up to PUBLISHED_DEFINITIONS_MAX */
    /* Called while a payload is read; NULL: not wanted. */
    void (*on_progress)(void *context, const struct copyengine_progress *progress);
    void (*on_warning)(void *context, const char *path, const char *text);
    void *context;
};

/** A manifest that was made. Starts as PUBLISHING_MANIFEST_INIT. */
struct publishing_manifest {
    struct published_head head; /* its strings are `text`'s and publishing's */
    struct text text;
    int fd;           /* its entries, in a file without a name */
    struct stat root; /* of the payload */
};

#define PUBLISHING_MANIFEST_INIT \
    {                            \
        .fd = -1                 \
    }

/**
 * Makes the manifest of a variant, from its payload alone. What a copy would leave out (sockets,
 * fifos, devices) is left out here, with a warning.
 *
 * @param root an absolute path
 * @param ret  freed with publishing_free, whatever is returned
 * @return     0; -ESTALE: the payload, or its definition, was changed meanwhile; -E2BIG: it has
 *             more entries than a manifest may have; or -errno of the first that cannot be read,
 *             which the message names
 */
int publishing_make(const struct publishing *publishing, const struct pkgcache_handle *handle,
                    const char *root, struct publishing_manifest *ret,
                    struct pkgcache_error *error);

/**
 * Asks whether a manifest that is put into a repository would count: whose the repository is, who
 * may write to it, and who we are. Changes nothing.
 *
 * @param root of the payload
 * @return     0; -EPERM: it would not, and the message says why; or -errno
 */
int publishing_check_place(const struct pkgcache_handle *handle, const struct stat *root,
                           struct pkgcache_error *error);

/**
 * Puts a manifest where it belongs: written aside, on the disk, and renamed. Directories that are
 * missing are made, with the modes and owners of those of the repository; nobody but their owner
 * may write to them.
 *
 * @return 0 or -errno; what was there before stays then
 */
int publishing_place(const struct pkgcache_handle *handle,
                     const struct publishing_manifest *manifest, struct pkgcache_error *error);

/**
 * Compares a published manifest with one that was made of the payload just now.
 *
 * @param on_difference called for each path that differs, relative to the root
 * @param ret           how many do
 * @return              0; -EBADMSG: the published one is damaged; or -errno
 */
int publishing_compare(const struct pack *published, const struct publishing_manifest *made,
                       void (*on_difference)(void *context, const char *path, const char *what),
                       void *context, uint64_t *ret, struct pkgcache_error *error);

void publishing_free(struct publishing_manifest *manifest);
