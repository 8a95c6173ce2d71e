/*
 * Builds packs of which anything may be wrong but the frames of zstd: their checksums, sizes and
 * digests are right, and what is inside is the test's.
 */
#pragma once

#include "cache/pack/seek_table.h"
#include "cache/pack/zstd_frame.h"
#include "cache/util/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define BUILDER_HANDLE(version)                                                            \
    "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"/svr\", \"name\": " \
    "\"foo\", \"version\": \"" version                                                     \
    "\", \"index\": null, \"repository_type\": \"filesystem\"}}"

/* Texts have | where records end. */
struct builder {
    const char *version; /* NULL: pkgcache-pack 1 */
    const char *counts;  /* NULL: as it is */
    const char *entries; /* of the only variant */
    const char *numbers; /* of its record: ENTRIES FILES BYTES */
    const char *more;    /* records behind the frames, before the end */
    const char *data;    /* the bytes of the only frame */
    struct text file;
    uint8_t digest[16];
    struct frames_size sizes[8];
    size_t count;
    int window_log; /* 0: as it comes */
};

/* Appends a frame with bytes, and pads them. */
static inline size_t builder_add(struct builder *builder, const char *bytes, size_t length)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    char compressed[1 << 16];
    size_t stored = (size_t)zstd_frame_compress(context, 3, bytes, length, compressed);
    ZSTD_freeCCtx(context);
    text_append(&builder->file, compressed, stored);
    builder->sizes[builder->count++] = (struct frames_size){(uint32_t)stored, (uint32_t)length};
    return stored;
}

/* A text with NULs in place of |, padded to 512. */
static inline struct text builder_records(const char *text)
{
    struct text records = {0};
    text_append(&records, text, strlen(text));
    for (size_t i = 0; i < records.length; i++)
        if (records.bytes[i] == '|')
            records.bytes[i] = '\0';
    while (records.length % 512 != 0)
        text_append_byte(&records, '\0');
    return records;
}

/* Makes the pack, as a file in memory. */
static inline void builder_make(struct builder *builder)
{
    static char header[512] = PACK_INDEX_NAME;
    char head[4096];
    char digest[2 * sizeof(XXH128_hash_t) + 1];
    XXH128_canonical_t canonical;
    struct builder parts = {0};
    struct text entries = builder_records(builder->entries);
    size_t entries_stored = builder_add(&parts, entries.bytes, entries.length);
    size_t data_stored = builder_add(&parts, builder->data, strlen(builder->data));
    memcpy(header + 257, "ustar", 5);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(entries.bytes, entries.length));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(digest + 2 * i, 3, "%02x", canonical.digest[i]);
    snprintf(head, sizeof(head),
             "%s|%s|variant 0 1 %s %zu %zu %s|handle %s|root /svr/foo/1.0|frame %zu %zu|%send|",
             builder->version ? builder->version : "pkgcache-pack 1",
             builder->counts ? builder->counts : "counts 1 1 0", builder->numbers, entries_stored,
             entries.length, digest, BUILDER_HANDLE("1.0"), data_stored, strlen(builder->data),
             builder->more ? builder->more : "");
    struct text records = builder_records(head);
    builder->count = 0;
    builder_add(builder, header, sizeof(header));
    builder_add(builder, records.bytes, records.length);
    text_append(&builder->file, parts.file.bytes, parts.file.length);
    builder->sizes[builder->count++] = parts.sizes[0];
    builder->sizes[builder->count++] = parts.sizes[1];
    const struct frames_size *const sizes[2] = {builder->sizes, NULL};
    const size_t counts[2] = {builder->count, 0};
    uint8_t table[256];
    seek_table_fill(sizes, counts, table);
    text_append(&builder->file, (const char *)table, seek_table_bytes(builder->count));
    text_free(&entries);
    text_free(&records);
    text_free(&parts.file);
}
