/* Writing the index. */
#include "cache/packing/index_writer.h"

#include "cache/pack/records.h"
#include "cache/pack/zstd_frame.h"
#include "cache/packing/tar_writer.h"
#include "cache/util/file.h"
#include "engine/compiler.h"
#include "engine/manifest.h"

#include <inttypes.h>

enum { BLOCK = 512 };

struct index_writer {
    int fd;
    int level;
    ZSTD_CCtx *context;
    XXH3_state_t *digest; /* of the variant under way */
    char *block;          /* PACK_INDEX_FRAME_MAX: what is not compressed yet */
    char *compressed;
    size_t used;
    struct frames_size *sizes;
    size_t size_count;
    size_t size_capacity;
    struct text variants; /* their records in the head */
    size_t variant_count;
    uint64_t total; /* uncompressed bytes of all variants */
    /* Of the variant under way: */
    struct text record;
    uint32_t first_frame;
    uint64_t entries;
    uint64_t files;
    uint64_t bytes;
    uint64_t size;
    uint64_t stored;
};

int index_writer_new(int fd, int level, struct index_writer **ret)
{
    struct index_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    writer->fd = fd;
    writer->level = level;
    writer->context = ZSTD_createCCtx();
    writer->digest = XXH3_createState();
    writer->block = malloc(PACK_INDEX_FRAME_MAX);
    writer->compressed = malloc(ZSTD_compressBound(PACK_INDEX_FRAME_MAX));
    if (!writer->context || !writer->digest || !writer->block || !writer->compressed) {
        index_writer_free(writer);
        return -ENOMEM;
    }
    *ret = writer;
    return 0;
}

static int add_size(struct index_writer *writer, size_t stored, size_t size)
{
    if (writer->size_count == writer->size_capacity) {
        writer->size_capacity = writer->size_capacity ? 2 * writer->size_capacity : 64;
        struct frames_size *larger =
            realloc(writer->sizes, writer->size_capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        writer->sizes = larger;
    }
    writer->sizes[writer->size_count++] = (struct frames_size){(uint32_t)stored, (uint32_t)size};
    return 0;
}

/* Compresses the block and writes it. */
static int end_block(struct index_writer *writer)
{
    if (writer->used == 0)
        return 0;
    int64_t stored = zstd_frame_compress(writer->context, writer->level, writer->block,
                                         writer->used, writer->compressed);
    if (stored < 0)
        return (int)stored;
    int result = file_write_all(writer->fd, writer->compressed, (size_t)stored);
    if (result == 0)
        result = add_size(writer, (size_t)stored, writer->used);
    writer->stored += (uint64_t)stored;
    writer->used = 0;
    return result;
}

static int add_bytes(struct index_writer *writer, const char *bytes, size_t length)
{
    int result = 0;
    XXH3_128bits_update(writer->digest, bytes, length);
    writer->size += length;
    while (length > 0 && result == 0) {
        size_t fits = MIN(length, PACK_INDEX_FRAME_MAX - writer->used);
        memcpy(writer->block + writer->used, bytes, fits);
        writer->used += fits;
        bytes += fits;
        length -= fits;
        if (writer->used == PACK_INDEX_FRAME_MAX)
            result = end_block(writer);
    }
    return result;
}

void index_begin_variant(struct index_writer *writer, uint32_t first_frame)
{
    writer->first_frame = first_frame;
    writer->entries = writer->files = writer->bytes = writer->size = writer->stored = 0;
    XXH3_128bits_reset(writer->digest);
}

/* What a manifest does not have. */
static void append_details(struct text *text, const struct pack_entry *entry)
{
    if (entry->target) {
        text_printf(text, "> %s", entry->target);
        text_append_byte(text, '\0');
    }
    if (entry->linked) {
        text_printf(text, "= %" PRIu64, entry->original);
        text_append_byte(text, '\0');
        return;
    }
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct pack_xattr *xattr = &entry->xattrs[i];
        text_append_string(text, "x ");
        record_append_bytes(text, xattr->value, xattr->length);
        text_printf(text, " %s", xattr->name);
        text_append_byte(text, '\0');
    }
    if (entry->record.type != 'f' || entry->stored == 0)
        return;
    text_printf(text, "@ %" PRIu64, entry->position);
    text_append_byte(text, '\0');
    if (entry->stored == entry->record.size) /* no hole */
        return;
    for (size_t i = 0; i < entry->extent_count; i++) {
        text_printf(text, "+ %" PRIu64 " %" PRIu64, entry->extents[i].offset,
                    entry->extents[i].length);
        text_append_byte(text, '\0');
    }
}

int index_add_entry(struct index_writer *writer, const struct pack_entry *entry)
{
    const struct manifest_record *record = &entry->record;
    char fields[MANIFEST_FIELDS_BYTES];
    XXH128_canonical_t canonical;
    memcpy(canonical.digest, record->digest, sizeof(canonical.digest));
    XXH128_hash_t digest = XXH128_hashFromCanonical(&canonical);
    size_t length = manifest_format_fields(
        &(struct manifest_fields){record->type, record->mode, record->size, record->mtime,
                                  record->has_digest ? &digest : NULL, 0},
        fields);
    if (length + strlen(record->path) >= MANIFEST_RECORD_MAX)
        return -ENAMETOOLONG;
    writer->record.length = 0;
    text_append(&writer->record, fields, length);
    text_append(&writer->record, record->path, strlen(record->path) + 1);
    append_details(&writer->record, entry);
    writer->entries++;
    writer->files += record->type == 'f';
    writer->bytes += record->type == 'f' ? record->size : 0;
    if (writer->record.error)
        return writer->record.error;
    return add_bytes(writer, writer->record.bytes, writer->record.length);
}

/* A record of the head whose text is somebody's. */
static void append_named(struct text *text, const char *name, const char *value, size_t length)
{
    text_append_string(text, name);
    text_append_byte(text, ' ');
    text_append(text, value, length);
    text_append_byte(text, '\0');
}

int index_end_entries(struct index_writer *writer, struct index_part *ret)
{
    static const char zeros[BLOCK];
    XXH128_canonical_t digest;
    int result = add_bytes(writer, zeros, -writer->size % BLOCK);
    if (result == 0)
        result = end_block(writer);
    if (result < 0)
        return result;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(writer->digest));
    *ret = (struct index_part){writer->entries, writer->files, writer->bytes, writer->stored,
                               writer->size};
    memcpy(ret->digest, digest.digest, sizeof(ret->digest));
    return 0;
}

int index_end_variant(struct index_writer *writer, const struct pkgcache_handle *handle,
                      const char *root, const char *requires, uint32_t frame_count)
{
    struct index_part part;
    CLEANUP_TEXT struct text json = {0};
    int result = index_end_entries(writer, &part);
    if (result < 0)
        return result;
    struct text *text = &writer->variants;
    text_printf(text,
                "variant %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                " %" PRIu64 " ",
                writer->first_frame, frame_count, part.entries, part.files, part.bytes, part.stored,
                part.size);
    record_append_bytes(text, part.digest, sizeof(part.digest));
    text_append_byte(text, '\0');
    handle_to_json(&json, handle);
    if (json.error)
        return json.error;
    append_named(text, "handle", json.bytes, json.length);
    append_named(text, "root", root, strlen(root));
    if (requires && strlen(requires) < MANIFEST_RECORD_MAX) /* for people: may be left out */
        append_named(text, "requires", requires, strlen(requires));
    writer->variant_count++;
    writer->total += writer->size;
    return text->error;
}

/* The head as it is before it is compressed. */
static int make_text(const struct index_writer *writer, const struct frames_size *frames,
                     uint32_t frame_count, const struct pack_shared *shared, size_t shared_count,
                     struct text *ret)
{
    static const char zeros[BLOCK];
    text_printf(ret, "pkgcache-pack %d", PACK_VERSION);
    text_append_byte(ret, '\0');
    text_printf(ret, "counts %zu %" PRIu32 " %zu", writer->variant_count, frame_count,
                shared_count);
    text_append_byte(ret, '\0');
    text_append(ret, writer->variants.bytes, writer->variants.length);
    for (uint32_t i = 0; i < frame_count; i++) {
        text_printf(ret, "frame %" PRIu32 " %" PRIu32, frames[i].stored, frames[i].size);
        text_append_byte(ret, '\0');
    }
    for (size_t i = 0; i < shared_count; i++) {
        text_printf(ret, "shared %" PRIu64 " %" PRIu64 " %" PRIu32, shared[i].position,
                    shared[i].length, shared[i].last_variant);
        text_append_byte(ret, '\0');
    }
    text_append(ret, "end", sizeof("end"));
    text_append(ret, zeros, -ret->length % BLOCK);
    return ret->error;
}

/* Compresses bytes as frames of the index, and appends them. */
static int compress(struct index_writer *writer, const char *bytes, size_t length, struct text *ret)
{
    while (length > 0) {
        size_t size = MIN(length, PACK_INDEX_FRAME_MAX);
        int64_t stored =
            zstd_frame_compress(writer->context, writer->level, bytes, size, writer->compressed);
        if (stored < 0)
            return (int)stored;
        text_append(ret, writer->compressed, (size_t)stored);
        int result = add_size(writer, (size_t)stored, size);
        if (result < 0)
            return result;
        bytes += size;
        length -= size;
    }
    return ret->error;
}

int index_make_head(struct index_writer *writer, const struct archive_library *library,
                    const struct frames_size *frames, uint32_t frame_count,
                    const struct pack_shared *shared, size_t shared_count, struct text *ret,
                    struct frames_size **ret_sizes, size_t *ret_size_count,
                    uint8_t ret_digest[static PACK_DIGEST_BYTES])
{
    CLEANUP_TEXT struct text head = {0};
    char header[BLOCK];
    XXH128_canonical_t canonical;
    size_t before = writer->size_count;
    int result = make_text(writer, frames, frame_count, shared, shared_count, &head);
    if (result == 0)
        result = tar_make_index_header(library, head.length + writer->total, header);
    if (result == 0)
        result = compress(writer, header, sizeof(header), ret);
    if (result == 0)
        result = compress(writer, head.bytes, head.length, ret);
    if (result < 0)
        return result;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(head.bytes, head.length));
    memcpy(ret_digest, canonical.digest, sizeof(canonical.digest));
    /* The frames of the head stand first. */
    size_t count = writer->size_count;
    struct frames_size *sizes = malloc(count * sizeof(*sizes));
    if (!sizes)
        return -ENOMEM;
    memcpy(sizes, writer->sizes + before, (count - before) * sizeof(*sizes));
    memcpy(sizes + (count - before), writer->sizes, before * sizeof(*sizes));
    *ret_sizes = sizes;
    *ret_size_count = count;
    return 0;
}

void index_writer_free(struct index_writer *writer)
{
    if (!writer)
        return;
    ZSTD_freeCCtx(writer->context);
    XXH3_freeState(writer->digest);
    free(writer->block);
    free(writer->compressed);
    free(writer->sizes);
    text_free(&writer->variants);
    text_free(&writer->record);
    free(writer);
}
