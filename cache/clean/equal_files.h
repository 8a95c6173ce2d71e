/*
 * Files of cached payloads that have equal contents, as the slots' manifests say (slot_manifest.h).
 * A manifest is somebody's word: whoever acts on it compares the files themselves.
 *
 * Any number of files is handled in bounded memory: what was read is kept only for digests up to
 * some limit, which halves when there are too many; the rest takes another pass over the manifests.
 */
#pragma once

#include "cache/store/cache.h"

#include <sys/stat.h>

struct equal_files;

/** A file, for equal_file_open. */
struct equal_file {
    uint64_t digest[2]; /* XXH3-128 or what engine/digest.h makes of blocks of zeros */
    uint64_t offset;    /* of its record in the manifest */
    uint32_t slot;
};

/**
 * Finds the slots that have a manifest.
 *
 * @param cancel_fd when it is readable, this and the visit end; 0 or -1: none
 * @param files_max so many are in memory at once, 32 bytes each; at least 2. Files beyond so many
 *                  with equal contents are left out
 * @param ret       freed with equal_files_free
 * @return          0, -ECANCELED, or another -errno
 */
int equal_files_find(const struct pkgcache *cache, int cancel_fd, size_t files_max,
                     struct equal_files **ret);

/**
 * Calls `visit` for each two or more files that have equal contents, in the order of their digests.
 * It begins with a digest that is chosen at random and goes round, so those that are often stopped
 * reach everything, too. Files without contents are left out.
 *
 * @param visit non-zero ends it
 * @return      0, what `visit` returned, -ECANCELED, or another -errno
 */
int equal_files_visit(struct equal_files *files,
                      int (*visit)(void *context, const struct equal_file *equal, size_t count),
                      void *context);

/**
 * Opens a file for reading: a regular one, on the cache's file system, through no symbolic link.
 *
 * @param path       receives its path, relative to the cache
 * @param ret_status receives what fstat says
 * @return           a descriptor, which is the caller's; or -errno: it is gone, or something else
 */
int equal_file_open(struct equal_files *files, const struct equal_file *file,
                    char path[static PATH_MAX], struct stat *ret_status);

/** NULL is allowed. */
void equal_files_free(struct equal_files *files);

static inline void equal_files_free_pointer(struct equal_files **files)
{
    equal_files_free(*files);
}

#define CLEANUP_EQUAL_FILES __attribute__((cleanup(equal_files_free_pointer)))
