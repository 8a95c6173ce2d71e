/*
 * From entries, which come one by one, to arrays. What data lies in a frame is an extent of its
 * own: the bytes of a file begin anywhere in one, and run on through those that follow.
 */
#include "cache/warm/pack_contents.h"

#include "engine/compiler.h"

#include <string.h>

enum { BLOCK_BYTES = 64 << 10 };

struct block {
    struct block *next;
    size_t used;
    size_t size;
    char bytes[];
};

/* Memory that is freed with the contents, aligned for anything. */
static void *allocate(struct pack_contents *contents, size_t bytes)
{
    struct block *block = contents->blocks;
    bytes = (bytes + 15) / 16 * 16;
    if (!block || block->size - block->used < bytes) {
        size_t size = MAX(bytes, (size_t)BLOCK_BYTES);
        block = malloc(sizeof(*block) + size);
        if (!block)
            return NULL;
        *block = (struct block){.next = contents->blocks, .size = size};
        contents->blocks = block;
    }
    block->used += bytes;
    return block->bytes + block->used - bytes;
}

static const void *keep(struct pack_contents *contents, const void *bytes, size_t length)
{
    void *kept = allocate(contents, length);
    return kept && length > 0 ? memcpy(kept, bytes, length) : kept;
}

static const char *keep_string(struct pack_contents *contents, const char *string)
{
    return keep(contents, string, strlen(string) + 1);
}

static int grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return 0;
    size_t wanted = MAX(2 * *capacity, (size_t)256);
    void *grown = reallocarray(*items, wanted, item_bytes);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = wanted;
    return 0;
}

static int add_extent(struct pack_contents *contents, const struct copyengine_extent *extent)
{
    void *extents = contents->extents;
    int result = grow(&extents, contents->extent_count, &contents->extent_capacity,
                      sizeof(*contents->extents));
    contents->extents = extents;
    if (result == 0)
        contents->extents[contents->extent_count++] = *extent;
    return result;
}

/* Cuts the data of a file where frames end. The parts are the frames' numbers, for now. */
static int add_extents(struct pack_contents *contents, const struct pack *pack,
                       const struct pack_entry *entry)
{
    uint32_t frame_count;
    const struct pack_frame *frames = pack_frames(pack, &frame_count);
    uint64_t position = entry->position;
    uint32_t frame = entry->extent_count > 0 ? pack_find_frame(pack, position) : 0;
    int result = 0;
    for (size_t i = 0; i < entry->extent_count; i++) {
        struct pack_extent left = entry->extents[i];
        while (left.length > 0 && result == 0) {
            while (frame < frame_count && position - frames[frame].position >= frames[frame].size)
                frame++;
            if (frame >= frame_count)
                return -EBADMSG;
            uint64_t at = position - frames[frame].position;
            uint64_t length = MIN(left.length, frames[frame].size - at);
            result =
                add_extent(contents, &(struct copyengine_extent){left.offset, length, frame, at});
            left.offset += length;
            left.length -= length;
            position += length;
        }
    }
    return result;
}

static enum copyengine_type type_of(const struct pack_entry *entry)
{
    if (entry->linked)
        return COPYENGINE_HARD_LINK;
    return entry->record.type == 'd'   ? COPYENGINE_DIRECTORY
           : entry->record.type == 'l' ? COPYENGINE_SYMLINK
                                       : COPYENGINE_FILE;
}

static int keep_xattrs(struct pack_contents *contents, const struct pack_entry *entry,
                       struct copyengine_entry *ret)
{
    if (entry->xattr_count == 0)
        return 0;
    struct copyengine_xattr *xattrs = allocate(contents, entry->xattr_count * sizeof(*xattrs));
    if (!xattrs)
        return -ENOMEM;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct pack_xattr *xattr = &entry->xattrs[i];
        xattrs[i] =
            (struct copyengine_xattr){keep_string(contents, xattr->name),
                                      keep(contents, xattr->value, xattr->length), xattr->length};
        if (!xattrs[i].name || !xattrs[i].value)
            return -ENOMEM;
    }
    ret->xattrs = xattrs;
    ret->xattr_count = entry->xattr_count;
    return 0;
}

static int add_entry(struct pack_contents *contents, const struct pack *pack,
                     const struct pack_entry *entry)
{
    const struct manifest_record *record = &entry->record;
    void *entries = contents->entries;
    int result = grow(&entries, contents->entry_count, &contents->entry_capacity,
                      sizeof(*contents->entries));
    contents->entries = entries;
    if (result < 0)
        return result;
    struct copyengine_entry *added = &contents->entries[contents->entry_count];
    size_t extents_before = contents->extent_count;
    *added = (struct copyengine_entry){
        .path = keep_string(contents, strcmp(record->path, ".") == 0 ? "" : record->path),
        .type = type_of(entry),
        .mode = record->mode,
        .mtime = record->mtime,
        .size = record->size,
        .target = entry->target ? keep_string(contents, entry->target) : NULL,
        .linked = entry->linked ? (size_t)entry->original : 0,
    };
    memcpy(added->digest, record->digest, sizeof(added->digest));
    if (!added->path || (entry->target && !added->target))
        return -ENOMEM;
    result = keep_xattrs(contents, entry, added);
    if (result == 0 && added->type == COPYENGINE_FILE)
        result = add_extents(contents, pack, entry);
    added->extent_count = contents->extent_count - extents_before;
    contents->entry_count++;
    return result;
}

/* Makes parts of the frames that are needed, in their order, and has the extents say which. */
static int make_parts(struct pack_contents *contents, const struct pack *pack)
{
    uint32_t frame_count;
    const struct pack_frame *frames = pack_frames(pack, &frame_count);
    CLEANUP_FREE uint32_t *part_of = calloc((size_t)frame_count + 1, sizeof(*part_of));
    size_t parts = 0;
    if (!part_of)
        return -ENOMEM;
    for (size_t i = 0; i < contents->extent_count; i++)
        part_of[contents->extents[i].part] = 1;
    for (uint32_t frame = 0; frame < frame_count; frame++)
        parts += part_of[frame];
    contents->frames = calloc(parts + 1, sizeof(*contents->frames));
    contents->part_bytes = calloc(parts + 1, sizeof(*contents->part_bytes));
    if (!contents->frames || !contents->part_bytes)
        return -ENOMEM;
    parts = 0;
    for (uint32_t frame = 0; frame < frame_count; frame++) {
        if (part_of[frame] == 0)
            continue;
        part_of[frame] = (uint32_t)parts;
        contents->frames[parts] = frame;
        contents->part_bytes[parts++] = frames[frame].size;
    }
    for (size_t i = 0; i < contents->extent_count; i++)
        contents->extents[i].part = part_of[contents->extents[i].part];
    contents->contents.part_bytes = contents->part_bytes;
    contents->contents.part_count = parts;
    return 0;
}

/* Everything stays where it is now: what points into arrays can do so. */
static void settle(struct pack_contents *contents)
{
    const struct copyengine_extent *next = contents->extents;
    for (size_t i = 0; i < contents->entry_count; i++) {
        contents->entries[i].extents = next;
        next += contents->entries[i].extent_count;
    }
    contents->contents.entries = contents->entries;
    contents->contents.entry_count = contents->entry_count;
}

int pack_contents_read(const struct pack *pack, size_t variant, struct copyengine_job *job,
                       struct pack_contents *ret, struct pkgcache_error *error)
{
    struct pack_entries *entries;
    const struct pack_entry *entry;
    int result = pack_entries_open(pack, variant, &entries, error);
    if (result < 0)
        return result;
    int more;
    while (result == 0 && (more = pack_entries_next(entries, &entry, error)) > 0)
        result = copyengine_supply_moves(job) ? add_entry(ret, pack, entry) : -ECANCELED;
    pack_entries_close(entries);
    if (result == 0 && more < 0)
        return more; /* and the message is set */
    if (result == 0)
        result = make_parts(ret, pack);
    settle(ret);
    if (result == -ENOMEM)
        error_set(error, ENOMEM, "out of memory");
    else if (result == -ECANCELED)
        error_set(error, ECANCELED, "the copy has ended");
    else if (result < 0)
        error_set(error, -result, "the pack is damaged: data lies in no frame");
    return result;
}

int pack_contents_set_target(struct pack_contents *contents, size_t entry, const char *target)
{
    const char *kept = keep_string(contents, target);
    if (kept)
        contents->entries[entry].target = kept;
    return kept ? 0 : -ENOMEM;
}

void pack_contents_free(struct pack_contents *contents)
{
    while (contents->blocks) {
        struct block *block = contents->blocks;
        contents->blocks = block->next;
        free(block);
    }
    free(contents->entries);
    free(contents->extents);
    free(contents->frames);
    free(contents->part_bytes);
    *contents = (struct pack_contents){0};
}
