/*
 * Writing the index of a pack (docs/packs.md). The entries of each variant go compressed into a
 * file as they come; the head, which stands before them in the pack, is made when all is known.
 */
#pragma once

#include "cache/packing/archive.h"
#include "cache/packing/frames.h"
#include "cache/store/handle.h"
#include "cache/util/text.h"

struct index_writer;

/** @param fd an empty file, written from its beginning; stays the caller's
 * @param ret freed with index_writer_free @return 0 or -ENOMEM */
int index_writer_new(int fd, int level, struct index_writer **ret);

/** Begins with a variant. */
void index_begin_variant(struct index_writer *writer, uint32_t first_frame);

/**
 * Adds an entry.
 *
 * @param entry with a digest of each f and l
 * @return      0; -ENAMETOOLONG: its path; -ENOMEM; or what write says
 */
int index_add_entry(struct index_writer *writer, const struct pack_entry *entry);

/** What the entries of a variant have come to. */
struct index_part {
    uint64_t entries;
    uint64_t files;
    uint64_t bytes;  /* of the files */
    uint64_t stored; /* of the part, compressed */
    uint64_t size;   /* uncompressed */
    uint8_t digest[PACK_DIGEST_BYTES];
};

/** Ends the entries of a variant, which then are in the file: for those who write no head. @return
 * as index_add_entry */
int index_end_entries(struct index_writer *writer, struct index_part *ret);

/**
 * Ends a variant.
 *
 * @param requires JSON; NULL: none
 * @return         as index_add_entry
 */
int index_end_variant(struct index_writer *writer, const struct pkgcache_handle *handle,
                      const char *root, const char *requires, uint32_t frame_count);

/**
 * Makes the beginning of the pack: the header of the first member and the head, compressed.
 *
 * @param shared     ranges that later variants refer to, by position
 * @param ret        appended to
 * @param ret_sizes  of all frames of the index, the caller frees them
 * @param ret_digest of the pack
 * @return           0, -ENOMEM, -EFBIG
 */
int index_make_head(struct index_writer *writer, const struct archive_library *library,
                    const struct frames_size *frames, uint32_t frame_count,
                    const struct pack_shared *shared, size_t shared_count, struct text *ret,
                    struct frames_size **ret_sizes, size_t *ret_size_count,
                    uint8_t ret_digest[static PACK_DIGEST_BYTES]);

/** NULL is allowed. */
void index_writer_free(struct index_writer *writer);
