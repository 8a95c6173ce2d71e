/*
 * The records of a head come in this order: the version, counts, variants, frames, ranges that are
 * shared, the end. Room grows as they come: the counts are only compared.
 */
#include "cache/pack/pack_head.h"

#include "cache/pack/records.h"
#include "engine/compiler.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <zstd.h>

enum { CAPACITY_VARIANTS, CAPACITY_SECTIONS, CAPACITY_FRAMES, CAPACITY_SHARED, NUL_PADDING = 512 };

static int refuse(const struct pack_head *head, struct pkgcache_error *error, const char *why)
{
    return error_set(error, EBADMSG, "%s: its index is damaged: record %" PRIu64 ": %s",
                     head->pack->name, head->records, why);
}

static int refuse_memory(const struct pack_head *head, struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "%s: out of memory", head->pack->name);
}

/* Counts bytes that the file must have: so a short file cannot claim much. */
static int count_stored(struct pack_head *head, uint64_t bytes, struct pkgcache_error *error)
{
    head->stored += bytes; /* 2^22 times 2^42 at most */
    if (head->stored <= head->pack->limit)
        return 0;
    return error_set(error, EBADMSG,
                     "%s: the pack is cut off or still being written: it has %" PRIu64
                     " bytes, and its index names more; copy or make it again",
                     head->pack->name, head->pack->limit);
}

static int add_version(const struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    uint64_t version;
    if (!record_take_word(&text, "pkgcache-pack") ||
        !record_take_number(&text, '\0', UINT32_MAX, &version))
        return refuse(head, error, "it does not begin as the index of a pack");
    if (version == PACK_VERSION)
        return 0;
    return error_set(error, EBADMSG,
                     "%s: the pack has version %" PRIu64
                     ", and this program reads version %d: read "
                     "it with the pkgcache that made it",
                     head->pack->name, version, PACK_VERSION);
}

static int add_counts(struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    if (record_take_word(&text, "counts") &&
        record_take_number(&text, ' ', PACK_VARIANTS_MAX, &head->variants) &&
        record_take_number(&text, ' ', PACK_FRAMES_MAX, &head->frames) &&
        record_take_number(&text, '\0', PACK_SHARED_MAX, &head->shared))
        return 0;
    return refuse(head, error, "it claims more variants or frames than a pack may have");
}

const char *pack_judge_numbers(const struct pack_variant *variant,
                               const struct pack_section *section)
{
    /* An entry takes at least 20 bytes, and a frame cannot hold so much more than its size. */
    if (variant->entry_count == 0 || variant->file_count >= variant->entry_count ||
        variant->entry_count > section->size / 20 || section->stored == 0)
        return "a variant has more entries than its part of the index can hold";
    /* A frame has at least 12 bytes: magic number, sizes, checksum. */
    if (section->size / PACK_INDEX_FRAME_MAX > section->stored / 12)
        return "a variant's entries are larger than their frames can hold";
    return NULL;
}

static int add_variant(struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    struct pack *pack = head->pack;
    struct pack_variant variant = {0};
    struct pack_section section = {0};
    uint64_t first;
    uint64_t count;
    if (pack->variant_count == head->variants)
        return refuse(head, error, "there are more variants than it says");
    if (!record_take_number(&text, ' ', PACK_FRAMES_MAX, &first) ||
        !record_take_number(&text, ' ', PACK_FRAMES_MAX, &count) ||
        !record_take_number(&text, ' ', INT64_MAX, &variant.entry_count) ||
        !record_take_number(&text, ' ', INT64_MAX, &variant.file_count) ||
        !record_take_number(&text, ' ', INT64_MAX, &variant.bytes) ||
        !record_take_number(&text, ' ', UINT32_MAX * UINT64_C(1024), &section.stored) ||
        !record_take_number(&text, ' ', UINT32_MAX * UINT64_C(1024), &section.size) ||
        !record_take_bytes(&text, PACK_DIGEST_BYTES, variant.digest) || *text)
        return refuse(head, error, "a variant's numbers cannot be read, or are too large");
    const struct pack_variant *before =
        pack->variant_count > 0 ? &pack->variants[pack->variant_count - 1] : NULL;
    if (first != (before ? (uint64_t)before->first_frame + before->frame_count : 0) ||
        first + count > head->frames)
        return refuse(head, error, "a variant's frames are not those behind the one before");
    const char *why = pack_judge_numbers(&variant, &section);
    if (why)
        return refuse(head, error, why);
    int result = count_stored(head, section.stored, error);
    if (result < 0)
        return result;
    variant.first_frame = (uint32_t)first;
    variant.frame_count = (uint32_t)count;
    if (record_grow(&pack->variants, &head->capacities[CAPACITY_VARIANTS], pack->variant_count,
                    sizeof(variant)) < 0 ||
        record_grow(&pack->sections, &head->capacities[CAPACITY_SECTIONS], pack->variant_count,
                    sizeof(section)) < 0)
        return refuse_memory(head, error);
    pack->variants[pack->variant_count] = variant;
    pack->sections[pack->variant_count++] = section;
    return 0;
}

/* Adds a text to the last variant. */
static int add_text(struct pack_head *head, const char *text, const char **ret,
                    struct pkgcache_error *error)
{
    size_t length = strlen(text) + 1;
    if (head->pack->variant_count == 0 || *ret)
        return refuse(head, error, "a text belongs to no variant");
    if (head->texts + length > PACK_HANDLES_BYTES_MAX)
        return refuse(head, error, "the handles are larger than those of a pack may be");
    *ret = strdup(text);
    head->texts += length;
    return *ret ? 0 : refuse_memory(head, error);
}

static bool variants_are_complete(const struct pack_head *head)
{
    const struct pack *pack = head->pack;
    const struct pack_variant *last =
        pack->variant_count > 0 ? &pack->variants[pack->variant_count - 1] : NULL;
    return pack->variant_count == head->variants && (!last || (last->handle && last->root));
}

static int add_frame(struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    struct pack *pack = head->pack;
    uint64_t stored;
    uint64_t size;
    if (pack->frame_count == head->frames || !variants_are_complete(head))
        return refuse(head, error, "there are more frames, or less variants, than it says");
    if (!record_take_number(&text, ' ', ZSTD_compressBound(PACK_FRAME_MAX), &stored) ||
        !record_take_number(&text, '\0', PACK_FRAME_MAX, &size) || stored == 0 || size == 0)
        return refuse(head, error, "a frame's sizes cannot be read, or are too large");
    const struct pack_frame *before =
        pack->frame_count > 0 ? &pack->frames[pack->frame_count - 1] : NULL;
    struct pack_frame frame = {.size = (uint32_t)size, .stored = (uint32_t)stored};
    frame.position = before ? before->position + before->size : 0;
    frame.offset = before ? before->offset + before->stored : 0;
    int result = count_stored(head, stored, error);
    if (result < 0)
        return result;
    if (record_grow(&pack->frames, &head->capacities[CAPACITY_FRAMES], pack->frame_count,
                    sizeof(frame)) < 0)
        return refuse_memory(head, error);
    assert(pack->frames);
    pack->frames[pack->frame_count++] = frame;
    return 0;
}

static int add_shared(struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    struct pack *pack = head->pack;
    struct pack_shared shared;
    uint64_t last;
    const struct pack_shared *before =
        pack->shared_count > 0 ? &pack->shared[pack->shared_count - 1] : NULL;
    const struct pack_frame *frame =
        pack->frame_count > 0 ? &pack->frames[pack->frame_count - 1] : NULL;
    if (pack->shared_count == head->shared || pack->frame_count != head->frames || !frame)
        return refuse(head, error, "there are more shared ranges, or less frames, than it says");
    uint64_t end = frame->position + frame->size;
    if (!record_take_number(&text, ' ', end, &shared.position) ||
        !record_take_number(&text, ' ', end, &shared.length) ||
        !record_take_number(&text, '\0', UINT32_MAX, &last) || shared.length == 0 ||
        shared.length > end - shared.position || last >= pack->variant_count ||
        (before && shared.position < before->position + before->length))
        return refuse(head, error, "a shared range is not inside the frames, or not in order");
    shared.last_variant = (uint32_t)last;
    if (record_grow(&pack->shared, &head->capacities[CAPACITY_SHARED], pack->shared_count,
                    sizeof(shared)) < 0)
        return refuse_memory(head, error);
    assert(pack->shared);
    pack->shared[pack->shared_count++] = shared;
    return 0;
}

/* Adds what the sizes of frames give to variants. */
static int end(struct pack_head *head, struct pkgcache_error *error)
{
    struct pack *pack = head->pack;
    if (!variants_are_complete(head) || pack->frame_count != head->frames ||
        pack->shared_count != head->shared)
        return refuse(head, error, "there are less variants, frames or ranges than it says");
    for (size_t i = 0; i < pack->variant_count; i++) {
        struct pack_variant *variant = &pack->variants[i];
        for (uint32_t k = 0; k < variant->frame_count; k++)
            variant->stored_bytes += pack->frames[variant->first_frame + k].size;
    }
    head->ended = true;
    return 0;
}

static int add_record(struct pack_head *head, const char *text, struct pkgcache_error *error)
{
    struct pack *pack = head->pack;
    static const char unused[1];
    const char *none = unused;
    struct pack_variant no_variant = {.handle = none, .root = none, .requires = none};
    struct pack_variant *last =
        pack->variant_count > 0 ? &pack->variants[pack->variant_count - 1] : &no_variant;
    head->records++;
    if (head->records == 1)
        return add_version(head, text, error);
    if (head->records == 2)
        return add_counts(head, text, error);
    if (record_take_word(&text, "variant"))
        return pack->frame_count > 0 || (pack->variant_count > 0 && !(last->handle && last->root))
                   ? refuse(head, error, "a variant stands where none may be")
                   : add_variant(head, text, error);
    if (record_take_word(&text, "handle"))
        return add_text(head, text, &last->handle, error);
    if (record_take_word(&text, "root"))
        return *text == '/' ? add_text(head, text, &last->root, error)
                            : refuse(head, error, "a root is no absolute path");
    if (record_take_word(&text, "requires"))
        return add_text(head, text, &last->requires, error);
    if (record_take_word(&text, "frame"))
        return pack->shared_count > 0 ? refuse(head, error, "a frame stands where none may be")
                                      : add_frame(head, text, error);
    if (record_take_word(&text, "shared"))
        return add_shared(head, text, error);
    if (strcmp(text, "end") == 0)
        return end(head, error);
    return refuse(head, error, "nobody knows what it says");
}

/* Adds all records that are complete in a buffer. Returns how many bytes they have, or -errno. */
static int64_t add_records(struct pack_head *head, const char *bytes, size_t length,
                           struct pkgcache_error *error)
{
    size_t at = 0;
    const char *nul;
    while (!head->ended && (nul = memchr(bytes + at, '\0', length - at))) {
        int result = add_record(head, bytes + at, error);
        if (result < 0)
            return result;
        at = (size_t)(nul - bytes) + 1;
    }
    if (!head->ended)
        return (int64_t)at;
    for (; at < length; at++)
        if (bytes[at] || length - at >= NUL_PADDING)
            return refuse(head, error, "something follows the end");
    return (int64_t)length;
}

int pack_head_add(struct pack_head *head, const char *bytes, size_t length,
                  struct pkgcache_error *error)
{
    if (!head->text && !(head->text = malloc(PACK_RECORD_MAX)))
        return refuse_memory(head, error);
    while (head->length > 0 && length > 0) { /* completes the record that is there in part */
        const char *nul = memchr(bytes, '\0', length);
        size_t part = nul ? (size_t)(nul - bytes) + 1 : length;
        if (head->length + part > PACK_RECORD_MAX)
            return refuse(head, error, "it is too long");
        memcpy(head->text + head->length, bytes, part);
        head->length += part;
        bytes += part;
        length -= part;
        if (!nul)
            return 0;
        int result = add_record(head, head->text, error);
        if (result < 0)
            return result;
        head->length = 0;
    }
    int64_t used = add_records(head, bytes, length, error);
    if (used < 0)
        return (int)used;
    head->length = length - (size_t)used;
    if (head->length > PACK_RECORD_MAX)
        return refuse(head, error, "it is too long");
    memcpy(head->text, bytes + used, head->length);
    return 0;
}

void pack_head_free(struct pack_head *head)
{
    free(head->text);
}
