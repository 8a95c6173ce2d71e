/*
 * The manifests of slots: what a payload consists of, with digests, as it was copied (or, where
 * nobody took digests then, as verify first found it). They lie in .sys/manifests, one file for
 * each slot, QNAME.HASH4.INC, whose first text says whose it is:
 *
 *     {"handle": {...}, "by": "copy"} NUL
 *     {"handle": {...}, "by": "verify", "inode": N, "born": N} NUL
 *
 * and then the manifest (engine/manifest.h). A slot's name is never used again by us, but rez may
 * use one again; so what verify writes also names the directory that it was made of, by its inode
 * number and the nanosecond of its birth.
 *
 * No payload depends on its manifest. Without one, or with one that is not sound or somebody
 * else's, a payload is not digested, and nothing worse.
 */
#pragma once

#include "cache/store/cache.h"

#include <stdint.h>

enum slot_manifest_by {
    SLOT_MANIFEST_BY_COPY,
    SLOT_MANIFEST_BY_VERIFY,
};

/** A directory, told from all that have its name, or its inode number, at other times. */
struct slot_manifest_payload {
    uint64_t inode;
    uint64_t born_ns; /* since the epoch; 0: the file system does not tell */
};

/** Finds out which directory a payload is. @return 0 or -errno */
int slot_manifest_stat_payload(int hash_fd, const char *slot_name,
                               struct slot_manifest_payload *ret);

/**
 * Makes a file for a manifest, in staging, with the first text inside.
 *
 * @param payload NULL: the manifest is taken while the payload is copied
 * @return        a descriptor, positioned where the manifest is to begin; or -errno
 */
int slot_manifest_create(const struct pkgcache *cache, int staging_fd, const char *name,
                         const struct pkgcache_handle *handle,
                         const struct slot_manifest_payload *payload);

/** Makes a file out of staging the manifest of a slot, in place of what it had. @return 0, -errno
 */
int slot_manifest_keep(const struct pkgcache *cache, int staging_fd, const char *name,
                       const struct pkgcache_handle *handle, const char *slot_name);

/**
 * Opens the manifest of a slot.
 *
 * @param payload     which directory the slot's payload is now
 * @param ret_offset  where the manifest begins in the file
 * @return            a descriptor; -ENOENT: it has none; -EBADMSG: what is there is not its; or
 *                    -errno
 */
int slot_manifest_open(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                       const char *slot_name, const struct slot_manifest_payload *payload,
                       uint64_t *ret_offset);

/** Opens the directory of all manifests. @return a descriptor; -ENOENT: there is none; or -errno */
int slot_manifest_open_directory(const struct pkgcache *cache);

/** As slot_manifest_open, for who has no cache: in the directory of all manifests. */
int slot_manifest_open_in(int directory_fd, const struct pkgcache_handle *handle,
                          const char *slot_name, const struct slot_manifest_payload *payload,
                          uint64_t *ret_offset);

/** The slot is gone: so is its manifest. */
void slot_manifest_forget(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                          const char *slot_name);

/**
 * Calls `visit` for each manifest whose slot is gone, and each file that is no manifest.
 *
 * @param visit `directory_fd` has the file; non-zero ends it
 * @return      0, what `visit` returned, or -errno
 */
int slot_manifest_visit_orphans(const struct pkgcache *cache,
                                int (*visit)(void *context, int directory_fd, const char *name),
                                void *context);
