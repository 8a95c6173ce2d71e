/*
 * Published manifests: what a variant consists of, with the digest of each file, as its publisher
 * wrote it beside the repository. Who finds one need not walk the payload. docs/manifests.md has
 * the format, and says when one counts.
 *
 * The entries are those of a pack (struct pack_entry), read by the same reader with the same
 * checks, but without bytes: no entry has a position or extents. Links say what they say at the
 * source, to the letter; symlink_keep_meaning (engine/symlink.h) finds what a copy shall say.
 *
 *     struct published *published;
 *     if (published_open(handle, root, &published, &reason) == 1) {
 *         pack_entries_open(published_pack(published), 0, &entries, &error);
 *         ... pack_entries_next, until it returns 0: only then all of it is known to be sound
 *         pack_entries_close(entries);
 *         published_close(published);
 *     }
 */
#pragma once

#include "cache/pack/pack_reader.h"
#include "cache/published/published_format.h"

#include <sys/stat.h>

struct published;

/**
 * Opens the manifest of a variant, if there is one that counts: it, and each directory from it up
 * to the repository's, belongs to root or to the owner of the payload's root, nobody else may write
 * to it, and none is a link; and neither the root nor the definition has changed since it was made.
 * Opens about ten files; reads a few KB.
 *
 * @param handle     of the variant: its location has the manifest
 * @param root       of its payload, an absolute path
 * @param ret        closed with published_close
 * @param ret_reason why there is none that counts. Its code: ENOENT: none was published; EPERM:
 *                   others could have written it; ESTALE: it is older than the root or the
 *                   definition; EBADMSG: it is damaged, too large, or that of another variant; or
 *                   why it cannot be read. The message names the manifest; all but ENOENT is to be
 *                   said to the user
 * @return           1; 0: there is none that counts, and the source is to be walked; -ENOMEM
 */
int published_open(const struct pkgcache_handle *handle, const char *root, struct published **ret,
                   struct pkgcache_error *ret_reason);

/** The manifest as a pack with one variant, number 0, and no frames: for pack_entries_open and
 * pack_variants. Belongs to it. */
const struct pack *published_pack(const struct published *published);

/** What the payload's root was when the manifest was opened: the directory that is meant. */
const struct stat *published_root(const struct published *published);

/** The path of the manifest, for people. Belongs to it. */
const char *published_path(const struct published *published);

/** When no entries are open. NULL is allowed. */
void published_close(struct published *published);
