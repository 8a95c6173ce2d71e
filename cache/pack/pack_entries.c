/*
 * Reading the entries of a variant: a record as manifests have it, and after it what manifests do
 * not have, in records of their own. One entry is held at a time, whatever their number.
 */
#include "cache/pack/pack_internal.h"
#include "cache/pack/records.h"
#include "cache/pack/zstd_frame.h"
#include "cache/util/text.h"
#include "engine/compiler.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/xattr.h>

enum { NAME_BYTES = 300, PADDING_MAX = 512, SET_ID = 06000 };

struct pack_entries {
    const struct pack *pack;
    size_t variant;
    ZSTD_DCtx *context;
    XXH3_state_t *digest;
    char *compressed; /* what was read and not decompressed */
    size_t compressed_at;
    size_t compressed_used;
    uint64_t offset; /* in the section, of what is read next */
    char *block;     /* PACK_INDEX_FRAME_MAX */
    size_t block_at;
    size_t block_used;
    uint64_t done;  /* uncompressed bytes of the section that were taken into blocks */
    uint64_t limit; /* the position behind the frames of the variant */

    char *partial;      /* a record that goes beyond a block; PACK_RECORD_MAX */
    const char *record; /* the next one, which is no detail of the entry before; NULL: not read */
    bool ended;
    uint64_t count; /* of entries */
    uint64_t files;
    uint64_t bytes;

    char *path;          /* of the entry: its whole first record */
    struct text last;    /* the path of the one before */
    struct text inside;  /* of the directory that it was in, or that it was */
    struct text details; /* targets, names and values */
    struct pack_xattr *xattrs;
    size_t xattr_capacity;
    struct pack_extent *extents;
    size_t extent_capacity;
    struct pack_entry entry;
    bool has_position;
};

static int refuse(const struct pack_entries *entries, struct pkgcache_error *error, const char *why)
{
    char name[NAME_BYTES];
    const char *handle = entries->pack->variants[entries->variant].handle;
    return error_set(
        error, EBADMSG, "%s: %s: its index is damaged: entry %" PRIu64 ": %s", entries->pack->name,
        pack_name_variant(handle, entries->variant, name, sizeof(name)), entries->count, why);
}

static int refuse_memory(const struct pack_entries *entries, struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "%s: out of memory", entries->pack->name);
}

/* --- Blocks ---------------------------------------------------------------------------------- */

/* Reads what the next frame may need. Returns 0 or -errno. */
static int fill(struct pack_entries *entries)
{
    const struct pack_section *section = &entries->pack->sections[entries->variant];
    size_t have = entries->compressed_used - entries->compressed_at;
    memmove(entries->compressed, entries->compressed + entries->compressed_at, have);
    entries->compressed_at = 0;
    entries->compressed_used = have;
    size_t length = (size_t)MIN(section->stored - entries->offset,
                                (uint64_t)ZSTD_COMPRESSBOUND(PACK_INDEX_FRAME_MAX) - have);
    int result = pack_read_at(entries->pack->index_fd, entries->compressed + have, length,
                              entries->pack->index_base + section->offset + entries->offset);
    if (result < 0)
        return result;
    entries->offset += length;
    entries->compressed_used += length;
    return 0;
}

/* Decompresses the next frame of the section. Returns 1; 0: that were all; or -errno. */
static int next_block(struct pack_entries *entries, struct pkgcache_error *error)
{
    const struct pack_section *section = &entries->pack->sections[entries->variant];
    size_t size = (size_t)MIN(section->size - entries->done, (uint64_t)PACK_INDEX_FRAME_MAX);
    int result = fill(entries);
    if (result < 0)
        return pack_fail_read(entries->pack, error, -result);
    size_t have = entries->compressed_used - entries->compressed_at;
    if (size == 0)
        return have == 0 ? 0 : refuse(entries, error, "something follows its last entry");
    size_t stored =
        ZSTD_findFrameCompressedSize(entries->compressed + entries->compressed_at, have);
    if (ZSTD_isError(stored))
        return refuse(entries, error, "a frame of it is cut off or damaged");
    result = zstd_frame_decompress(entries->context, entries->compressed + entries->compressed_at,
                                   stored, entries->block, size);
    if (result < 0)
        return result == -ENOMEM
                   ? refuse_memory(entries, error)
                   : refuse(entries, error, "a frame of it is damaged, or has another size");
    XXH3_128bits_update(entries->digest, entries->block, size);
    entries->compressed_at += stored;
    entries->done += size;
    entries->block_at = 0;
    entries->block_used = size;
    return 1;
}

/* The next record, valid until the next call. Returns 1; 0: that were all; or -errno. */
static int next_record(struct pack_entries *entries, const char **ret, struct pkgcache_error *error)
{
    size_t partial = 0;
    for (;;) {
        size_t have = entries->block_used - entries->block_at;
        const char *bytes = entries->block + entries->block_at;
        const char *nul = have ? memchr(bytes, '\0', have) : NULL;
        size_t part = nul ? (size_t)(nul - bytes) + 1 : have;
        if (partial + part > PACK_RECORD_MAX)
            return refuse(entries, error, "a record of it is too long");
        entries->block_at += part;
        if (nul && partial == 0) {
            *ret = bytes;
            return 1;
        }
        if (part > 0)
            memcpy(entries->partial + partial, bytes, part);
        partial += part;
        if (nul) {
            *ret = entries->partial;
            return 1;
        }
        int result = next_block(entries, error);
        if (result < 0)
            return result;
        if (result == 0)
            return partial == 0 ? 0 : refuse(entries, error, "its last record is cut off");
    }
}

/* --- Details --------------------------------------------------------------------------------- */

/* Keeps a text behind the others. Returns where, as a number: they may move. */
static const char *keep(struct pack_entries *entries, const void *bytes, size_t length)
{
    uintptr_t at = entries->details.length;
    text_append(&entries->details, bytes, length);
    return (const char *)at;
}

static int add_target(struct pack_entries *entries, const char *text, struct pkgcache_error *error)
{
    size_t length = strlen(text);
    struct pack_entry *entry = &entries->entry;
    if (entry->record.type != 'l' || entry->target || length == 0 || length >= PATH_MAX ||
        length != entry->record.size)
        return refuse(entries, error, "the text of a symbolic link is not one");
    keep(entries, "", 1); /* so that none is at 0, which is NULL */
    entry->target = keep(entries, text, length + 1);
    return 0;
}

static int add_original(struct pack_entries *entries, const char *text,
                        struct pkgcache_error *error)
{
    struct pack_entry *entry = &entries->entry;
    if (entry->record.type == 'd' || entry->linked || entries->has_position ||
        entry->xattr_count > 0 || !record_take_number(&text, '\0', INT64_MAX, &entry->original) ||
        entry->original >= entries->count)
        return refuse(entries, error, "a hard link does not lead to an earlier entry");
    entry->linked = true;
    return 0;
}

static bool is_kept(const char *name)
{
    return (strncmp(name, "user.", 5) == 0 && name[5]) ||
           strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}

static int add_xattr(struct pack_entries *entries, const char *text, struct pkgcache_error *error)
{
    struct pack_entry *entry = &entries->entry;
    size_t length = strspn(text, "0123456789abcdef");
    const char *name = text + length + 1;
    if (text[length] != ' ' || length % 2 != 0 || length / 2 > XATTR_SIZE_MAX || !is_kept(name) ||
        strlen(name) > XATTR_NAME_MAX || entry->record.type == 'l' || entry->linked)
        return refuse(entries, error, "an extended attribute is none that packs have");
    const char *before =
        entry->xattr_count > 0
            ? entries->details.bytes + (uintptr_t)entries->xattrs[entry->xattr_count - 1].name
            : "";
    if (strcmp(name, before) <= 0)
        return refuse(entries, error, "extended attributes are there twice, or not in order");
    if (entries->details.length + strlen(name) + length / 2 > (size_t)2 * PACK_XATTRS_BYTES_MAX)
        return refuse(entries, error, "its extended attributes are larger than packs may have");
    if (record_grow(&entries->xattrs, &entries->xattr_capacity, entry->xattr_count,
                    sizeof(*entries->xattrs)) < 0)
        return refuse_memory(entries, error);
    struct pack_xattr *xattr = &entries->xattrs[entry->xattr_count];
    xattr->name = keep(entries, name, strlen(name) + 1);
    xattr->length = length / 2;
    uintptr_t at = entries->details.length;
    if (text_reserve(&entries->details, xattr->length) < 0)
        return refuse_memory(entries, error);
    record_take_bytes(&text, xattr->length, (uint8_t *)entries->details.bytes + at);
    entries->details.length += xattr->length;
    xattr->value = (const uint8_t *)at;
    entry->xattr_count++;
    return 0;
}

static int add_position(struct pack_entries *entries, const char *text,
                        struct pkgcache_error *error)
{
    struct pack_entry *entry = &entries->entry;
    if (entry->record.type != 'f' || entry->linked || entries->has_position ||
        !record_take_number(&text, '\0', INT64_MAX, &entry->position))
        return refuse(entries, error, "where its bytes are cannot be read");
    entries->has_position = true;
    return 0;
}

static int add_extent(struct pack_entries *entries, const char *text, struct pkgcache_error *error)
{
    struct pack_entry *entry = &entries->entry;
    struct pack_extent extent;
    const struct pack_extent *before =
        entry->extent_count > 0 ? &entries->extents[entry->extent_count - 1] : NULL;
    if (!entries->has_position || entry->extent_count == PACK_EXTENTS_MAX ||
        !record_take_number(&text, ' ', entry->record.size, &extent.offset) ||
        !record_take_number(&text, '\0', entry->record.size, &extent.length) ||
        extent.length == 0 || extent.length > entry->record.size - extent.offset ||
        (before && extent.offset < before->offset + before->length))
        return refuse(entries, error, "where its holes are cannot be, or has too many parts");
    if (record_grow(&entries->extents, &entries->extent_capacity, entry->extent_count,
                    sizeof(extent)) < 0)
        return refuse_memory(entries, error);
    assert(entries->extents);
    entries->extents[entry->extent_count++] = extent;
    entry->stored += extent.length;
    return 0;
}

/* Takes a record that says more of the entry. Returns 1; 0: it does not; or -errno. */
static int add_detail(struct pack_entries *entries, const char *text, struct pkgcache_error *error)
{
    static const struct {
        char letter;
        int (*add)(struct pack_entries *entries, const char *text, struct pkgcache_error *error);
    } kinds[] = {{'>', add_target},
                 {'=', add_original},
                 {'x', add_xattr},
                 {'@', add_position},
                 {'+', add_extent}};
    assert(text);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (text[0] == kinds[i].letter && text[1] == ' ') {
            int result = kinds[i].add(entries, text + 2, error);
            return result < 0 ? result : 1;
        }
    return 0;
}

/* --- Entries --------------------------------------------------------------------------------- */

/* Checks that a path is where a walk would be, in a directory that was there before. */
static int check_path(struct pack_entries *entries, struct pkgcache_error *error)
{
    const char *path = entries->entry.record.path;
    bool is_directory = entries->entry.record.type == 'd';
    if (entries->count == 0) {
        if (strcmp(path, ".") != 0 || !is_directory)
            return refuse(entries, error, "the first is not the root directory");
        return 0;
    }
    if (strcmp(path, ".") == 0)
        return refuse(entries, error, "the root is there twice");
    const char *slash = strrchr(path, '/');
    size_t parent = slash ? (size_t)(slash - path) : 0;
    const char *inside = entries->inside.bytes ? entries->inside.bytes : "";
    if (parent > entries->inside.length || memcmp(inside, path, parent) != 0 ||
        (parent > 0 && inside[parent] != '\0' && inside[parent] != '/'))
        return refuse(entries, error, "it is in a directory that was not there before, or is none");
    if (pack_compare_paths(path, entries->last.bytes ? entries->last.bytes : "") <= 0)
        return refuse(entries, error, "its path is there twice, or not in order");
    entries->last.length = 0;
    text_append_string(&entries->last, path);
    entries->inside.length = 0;
    text_append(&entries->inside, path, is_directory ? strlen(path) : parent);
    if (entries->last.error || entries->inside.error)
        return refuse_memory(entries, error);
    return 0;
}

static int check_record(struct pack_entries *entries, struct pkgcache_error *error)
{
    const struct manifest_record *record = &entries->entry.record;
    if (record->type == 'o' || record->error || record->mode & SET_ID ||
        record->has_digest != (record->type != 'd') || (record->type == 'd' && record->size > 0))
        return refuse(entries, error, "it is nothing that packs have");
    return check_path(entries, error);
}

/* Makes the entry whole when all its details are there. */
static int settle(struct pack_entries *entries, struct pkgcache_error *error)
{
    struct pack_entry *entry = &entries->entry;
    const char *bytes = entries->details.bytes;
    if (entries->details.error)
        return refuse_memory(entries, error);
    if (entry->record.type == 'l' && !entry->target)
        return refuse(entries, error, "a symbolic link without a text");
    if (entry->target)
        entry->target = bytes + (uintptr_t)entry->target;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        entries->xattrs[i].name = bytes + (uintptr_t)entries->xattrs[i].name;
        entries->xattrs[i].value = (const uint8_t *)bytes + (uintptr_t)entries->xattrs[i].value;
    }
    if (entries->has_position && entry->extent_count == 0) { /* no holes */
        struct pack_extent whole = {0, entry->record.size};
        if (entry->record.size == 0)
            return refuse(entries, error, "an empty file has bytes");
        if (record_grow(&entries->extents, &entries->extent_capacity, 0, sizeof(whole)) < 0)
            return refuse_memory(entries, error);
        entries->extents[entry->extent_count++] = whole;
        entry->stored = whole.length;
    }
    if (entry->stored > entries->limit || entry->position > entries->limit - entry->stored)
        return refuse(entries, error,
                      "its bytes are in no frame of this variant or an earlier one");
    entry->xattrs = entries->xattrs;
    entry->extents = entries->extents;
    return 0;
}

/* What must be so when all records were read. */
static int check_end(struct pack_entries *entries, struct pkgcache_error *error)
{
    const struct pack_variant *variant = &entries->pack->variants[entries->variant];
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(entries->digest));
    if (entries->count != variant->entry_count || entries->files != variant->file_count ||
        entries->bytes != variant->bytes)
        return refuse(entries, error, "there are other entries than it says");
    if (memcmp(digest.digest, variant->digest, sizeof(digest.digest)) != 0)
        return refuse(entries, error, "its digest is another one");
    return 0;
}

/* Reads over the zeros at the end. Returns 0 or -errno. */
static int read_padding(struct pack_entries *entries, struct pkgcache_error *error)
{
    const char *text = "";
    int result = 1;
    for (size_t i = 0; result == 1; i++) {
        if (*text || i == PADDING_MAX)
            return refuse(entries, error, "something follows its last entry");
        result = next_record(entries, &text, error);
    }
    return result;
}

/* Reads the first record of an entry. Returns 1; 0: there is none; or -errno. */
static int read_first(struct pack_entries *entries, struct pkgcache_error *error)
{
    int result = 1;
    if (!entries->record)
        result = next_record(entries, &entries->record, error);
    if (result == 1 && entries->record && !*entries->record)
        result = read_padding(entries, error);
    if (result <= 0 || !entries->record)
        return result;
    size_t length = strlen(entries->record) + 1;
    if (length > MANIFEST_RECORD_MAX)
        return refuse(entries, error, "its path is too long");
    memcpy(entries->path, entries->record, length);
    entries->entry = (struct pack_entry){0};
    entries->details.length = 0;
    entries->has_position = false;
    entries->record = NULL;
    if (manifest_record_parse(entries->path, &entries->entry.record) < 0)
        return refuse(entries, error, "it cannot be read, or its path leads out of the variant");
    result = check_record(entries, error);
    return result < 0 ? result : 1;
}

int pack_entries_next(struct pack_entries *entries, const struct pack_entry **ret,
                      struct pkgcache_error *error)
{
    if (entries->ended)
        return 0;
    int result = read_first(entries, error);
    if (result < 0)
        return result;
    if (result == 0) {
        result = check_end(entries, error);
        entries->ended = result == 0;
        return result;
    }
    const char *record = NULL;
    while ((result = next_record(entries, &record, error)) == 1 &&
           (result = add_detail(entries, record, error)) == 1)
        record = NULL;
    if (result < 0)
        return result;
    entries->record = record; /* NULL: that were all */
    result = settle(entries, error);
    if (result < 0)
        return result;
    entries->count++;
    if (entries->entry.record.type == 'f') {
        uint64_t size = entries->entry.record.size;
        if (size > INT64_MAX - entries->bytes)
            return refuse(entries, error, "the sizes of its files are more than can be");
        entries->files++;
        entries->bytes += size;
    }
    *ret = &entries->entry;
    return 1;
}

int pack_entries_open(const struct pack *pack, size_t variant, struct pack_entries **ret,
                      struct pkgcache_error *error)
{
    struct pack_entries *entries = calloc(1, sizeof(*entries));
    if (!entries)
        return error_set(error, ENOMEM, "%s: out of memory", pack->name);
    entries->pack = pack;
    entries->variant = variant;
    entries->context = ZSTD_createDCtx();
    entries->digest = XXH3_createState();
    entries->compressed = malloc(ZSTD_COMPRESSBOUND(PACK_INDEX_FRAME_MAX));
    entries->block = malloc(PACK_INDEX_FRAME_MAX);
    entries->partial = malloc(PACK_RECORD_MAX);
    entries->path = malloc(MANIFEST_RECORD_MAX);
    if (!entries->context || !entries->digest || !entries->compressed || !entries->block ||
        !entries->partial || !entries->path) {
        pack_entries_close(entries);
        return error_set(error, ENOMEM, "%s: out of memory", pack->name);
    }
    XXH3_128bits_reset(entries->digest);
    const struct pack_variant *of = &pack->variants[variant];
    uint32_t end = of->first_frame + of->frame_count;
    entries->limit = end > 0 ? pack->frames[end - 1].position + pack->frames[end - 1].size : 0;
    *ret = entries;
    return 0;
}

void pack_entries_close(struct pack_entries *entries)
{
    if (!entries)
        return;
    ZSTD_freeDCtx(entries->context);
    XXH3_freeState(entries->digest);
    free(entries->compressed);
    free(entries->block);
    free(entries->partial);
    free(entries->path);
    text_free(&entries->last);
    text_free(&entries->inside);
    text_free(&entries->details);
    free(entries->xattrs);
    free(entries->extents);
    free(entries);
}
