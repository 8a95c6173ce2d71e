/*
 * Digests of contents. A file is taken as blocks of 64 KiB; what is left at its end is one more
 * block, however short. A block is empty when it is whole and has nothing but zeros: it does not
 * matter whether these are on a disk, or the file has a hole there.
 *
 * The digest of a file without an empty block is its XXH3-128. That of others is
 *
 *     XXH3-128 (DATA MAP SIZE)
 *
 * DATA: all blocks that are not empty, one after the other. MAP, of 16 bytes, says where they are:
 * it begins as zeros, and for each run of blocks that are not empty, from front to back, becomes
 * XXH3-128 (MAP OFFSET END), where the run begins in the file, and where it ends. SIZE: of the
 * file. Numbers have 8 bytes, and digests are in their canonical form (xxhash.h); both the greatest
 * byte first.
 *
 * So the time that a digest takes depends on what a file has, not on how large it says it is: a
 * plain XXH3-128 has to go through each zero. Manifests of version 1 have that all the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

enum { DIGEST_BLOCK_BYTES = 64 << 10 };

enum digest_kind {
    DIGEST_WITHOUT_EMPTY, /* as described above */
    DIGEST_PLAIN,         /* always XXH3-128 */
};

/** A file that is digested from front to back. All zero: nothing is under way. */
struct digest {
    XXH3_state_t *state; /* NULL: not needed yet; kept for the next file */
    enum digest_kind kind;
    bool begun;      /* the state has bytes of this file */
    bool has_empty;  /* blocks */
    uint64_t length; /* what was added, holes included */
    uint64_t zeros;  /* all that the block under way has yet; they are not in the state */
    uint64_t run;    /* where the run of blocks that are not empty begins */
    XXH128_canonical_t map;
};

/** The XXH3-128 of bytes that are no file's. */
XXH128_hash_t digest_of(const void *data, size_t length);

/** Begins with a file. */
void digest_begin(struct digest *digest, enum digest_kind kind);

/** Adds bytes. @return 0 or -ENOMEM */
int digest_add(struct digest *digest, const void *data, size_t length);

/** Adds a hole. It costs nothing, unless the kind is plain. @return 0 or -ENOMEM */
int digest_add_hole(struct digest *digest, uint64_t length);

/** @param ret the digest of all that was added. @return 0 or -ENOMEM */
int digest_end(struct digest *digest, XXH128_hash_t *ret);

/** Digests a file that is in memory as a whole. @return 0 or -ENOMEM */
int digest_whole(struct digest *digest, enum digest_kind kind, const void *data, size_t length,
                 XXH128_hash_t *ret);

/** Frees what it keeps for the next file. */
void digest_free(struct digest *digest);
