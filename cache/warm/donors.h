/*
 * Donors: files of variants that are cached already, whose contents a new version of the package
 * has, too. Which those are, the manifests of slots say (store/slot_manifest.h): equal digest and
 * equal size; names, times and modes do not count. A manifest may say anything: so who takes a
 * donor's contents digests them again, and then a manifest that lies costs time and nothing else.
 *
 * Digests find what was changed by accident, or by hand; XXH3 does not keep off somebody who makes
 * another file with the digest of one. So donors are only in slots that root or this user has
 * filled, from the repository that the new version is in, too: who can write there, or here, needs
 * no such tricks.
 *
 * Not for trust in payloads, and not for taking contents: that is the engine's (copyengine.h).
 */
#pragma once

#include "cache/store/cache.h"

struct donors;

/** Where contents are that an entry has. */
struct donor {
    const struct copyengine_root *root; /* a payload; belongs to the donors. NULL: there is none */
    const char *path;                   /* relative to that; no name in it is . or .. */
};

/**
 * Opens what donors are looked for with: two directories of the cache. What follows needs no cache
 * any more.
 *
 * @param handle the variant that is to be made: its package is looked through
 * @param ret    freed with donors_free; NULL: there can be none, since no variant of the package is
 *               cached, or nothing was digested
 * @return       0 or -ENOMEM; whatever else is wrong means that there are none
 */
int donors_open(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                struct donors **ret);

/**
 * Looks through the manifests of the package's variants, once each, until all entries have a donor,
 * or four times as many records were read as there are entries: those of the same index first, of
 * these the newest. It needs 16 MiB at most, whatever they say; where there are more entries than
 * that has room for, the last have no donors.
 *
 * @param entries those that are files with bytes are looked for; used only now
 * @param moves   called now and then; returns false: stop. NULL: nothing is called
 * @return        0; -ECANCELED: it was stopped; -ENOMEM
 */
int donors_find(struct donors *donors, const struct copyengine_entry *entries, size_t count,
                bool (*moves)(void *context), void *context);

/** The donor of an entry, by its index, when they were looked for. */
struct donor donors_get(const struct donors *donors, size_t entry);

/** How many entries have a donor. */
size_t donors_count(const struct donors *donors);

/** NULL is allowed. */
void donors_free(struct donors *donors);
