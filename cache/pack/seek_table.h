/* The last frame of a pack: where all others are, in the seekable format of zstd
 * (contrib/seekable_format/zstd_seekable_compression_format.md in its sources). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    SEEK_TABLE_HEAD = 8,
    SEEK_TABLE_FOOT = 9,
    SEEK_TABLE_SKIPPABLE = 0x184D2A5E,
};

#define SEEK_TABLE_MAGIC UINT32_C(0x8F92EAB1)

/** How large a frame is. */
struct frames_size {
    uint32_t stored; /* compressed */
    uint32_t size;
};

/** @return how many bytes the table of so many frames has */
size_t seek_table_bytes(size_t frame_count);

/** Makes the table of two lists of frames, one behind the other. @param ret seek_table_bytes */
void seek_table_fill(const struct frames_size *const sizes[2], const size_t counts[2],
                     uint8_t *ret);

/** How many frames a table tells of. @param bytes of the table @return 0: it is none */
size_t seek_table_count(const uint8_t *table, size_t bytes);

/** What a table says of a frame. @param number less than its count */
struct frames_size seek_table_entry(const uint8_t *table, size_t number);
