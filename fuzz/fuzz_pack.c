/*
 * A pack, of which anything may be in the file. The first byte says what the others are: the whole
 * file; or the head of an index, or the entries of a variant, before they are compressed, since no
 * fuzzer guesses checksums. What is accepted is in range and stays inside its tree.
 */
#include "cache/pack/pack_head.h"
#include "cache/pack/zstd_frame.h"
#include "engine/compiler.h"
#include "fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { FRAME_BYTES = 1 << 20, TEXT_MAX = 1 << 16 };

static int memory_file(const void *data, size_t size)
{
    int fd = memfd_create("pack", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void check_entry(const struct pack_entry *entry, uint64_t limit)
{
    const struct manifest_record *record = &entry->record;
    const char *path = record->path;
    uint64_t stored = 0;
    uint64_t at = 0;
    FUZZ_CHECK(*path && *path != '/' && !strstr(path, "//") && !strstr(path, "/../"));
    FUZZ_CHECK(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0);
    FUZZ_CHECK(strchr("fdl", record->type) && record->mode <= 01777 && record->size <= INT64_MAX);
    FUZZ_CHECK((record->type == 'l') == (entry->target != NULL));
    FUZZ_CHECK(!entry->target || strlen(entry->target) == record->size);
    for (size_t i = 0; i < entry->extent_count; i++) {
        const struct pack_extent *extent = &entry->extents[i];
        FUZZ_CHECK(extent->length > 0 && extent->offset >= at);
        FUZZ_CHECK(extent->offset + extent->length <= record->size);
        at = extent->offset + extent->length;
        stored += extent->length;
    }
    FUZZ_CHECK(stored == entry->stored && entry->position + stored <= limit);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct pack_xattr *xattr = &entry->xattrs[i];
        FUZZ_CHECK(strncmp(xattr->name, "user.", 5) == 0 ||
                   strncmp(xattr->name, "system.", 7) == 0);
        for (size_t k = 0; k < xattr->length; k++) /* all of it is there */
            FUZZ_CHECK(xattr->value[k] <= UINT8_MAX);
    }
}

/* Reads the entries of a variant. Returns what ended it. */
static int read_entries(const struct pack *pack, size_t variant, uint64_t limit)
{
    struct pack_entries *entries = NULL;
    const struct pack_entry *entry;
    struct pkgcache_error error = {0};
    uint64_t count = 0;
    FUZZ_CHECK(pack_entries_open(pack, variant, &entries, &error) == 0);
    int result;
    while ((result = pack_entries_next(entries, &entry, &error)) == 1) {
        check_entry(entry, limit);
        FUZZ_CHECK(!entry->linked || entry->original < count);
        count++;
    }
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    pack_entries_close(entries);
    return result;
}

static void read_pack(const uint8_t *data, size_t size, bool stream)
{
    struct pack *pack = NULL;
    struct pkgcache_error error = {0};
    CLEANUP_CLOSE int fd = memory_file(data, size);
    CLEANUP_CLOSE int spool = memory_file("", 0);
    int result = stream ? pack_open_stream(fd, NULL, 0, spool, "x", &pack, &error)
                        : pack_open(fd, "x", &pack, &error);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    (void)pack_detect(data, MIN(size, PACK_DETECT_BYTES));
    if (result < 0)
        return;
    size_t count;
    uint32_t frame_count;
    pack_variants(pack, &count);
    const struct pack_frame *frames = pack_frames(pack, &frame_count);
    uint64_t end =
        frame_count > 0 ? frames[frame_count - 1].position + frames[frame_count - 1].size : 0;
    for (size_t i = 0; i < count; i++)
        read_entries(pack, i, end);
    struct pack_decoder *decoder = pack_decoder_new();
    static char buffer[PACK_FRAME_MAX];
    for (uint32_t i = 0; i < frame_count && result == 0; i++) {
        result = pack_fetch_frame(pack, i, decoder, NULL, NULL, &error);
        if (result == 0)
            result = pack_decode_frame(pack, i, decoder, buffer, &error);
        FUZZ_CHECK(result == 0 || result == -EBADMSG);
    }
    if (stream && result == 0)
        (void)pack_finish_stream(pack, &error);
    pack_decoder_free(decoder);
    pack_close(pack);
}

/* Text has | where records end: dictionaries and people write that more easily than NUL. */
static char *take_text(const uint8_t *data, size_t *size)
{
    *size = MIN(*size, TEXT_MAX);
    char *text = malloc(*size + 512);
    FUZZ_CHECK(text);
    for (size_t i = 0; i < *size; i++)
        text[i] = (char)(data[i] == '|' ? '\0' : data[i]);
    while (*size == 0 || *size % 512 != 0)
        text[(*size)++] = '\0';
    return text;
}

static void read_head(const uint8_t *data, size_t size)
{
    struct pack *pack = calloc(1, sizeof(*pack));
    struct pack_head head = {.pack = pack};
    struct pkgcache_error error = {0};
    CLEANUP_FREE char *text = take_text(data, &size);
    FUZZ_CHECK(pack && (pack->name = strdup("x")));
    pack->limit = UINT64_MAX;
    int result = 0;
    for (size_t at = 0; at < size && result == 0; at += 700) /* records across blocks, too */
        result = pack_head_add(&head, text + at, MIN(size - at, 700), &error);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    for (size_t i = 0; head.ended && i < pack->variant_count; i++)
        FUZZ_CHECK(pack->variants[i].handle && pack->variants[i].root[0] == '/' &&
                   pack->variants[i].first_frame + pack->variants[i].frame_count <=
                       pack->frame_count);
    pack_head_free(&head);
    pack_close(pack);
}

/* A pack of one variant that has these entries, and a frame of 1 MiB. */
static void read_text(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = take_text(data, &size);
    CLEANUP_FREE char *compressed = malloc(ZSTD_compressBound(size));
    ZSTD_CCtx *context = ZSTD_createCCtx();
    int64_t stored = zstd_frame_compress(context, 1, text, size, compressed);
    ZSTD_freeCCtx(context);
    FUZZ_CHECK(compressed && stored > 0);
    CLEANUP_CLOSE int fd = memory_file(compressed, (size_t)stored);
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text, size));
    struct pack_variant variant = {.handle = "{}", .root = "/", .entry_count = 2, .frame_count = 1};
    struct pack_section section = {.stored = (uint64_t)stored, .size = size};
    struct pack_frame frame = {.size = FRAME_BYTES, .stored = 1};
    struct pack pack = {.name = "x",
                        .fd = fd,
                        .index_fd = fd,
                        .variants = &variant,
                        .sections = &section,
                        .variant_count = 1,
                        .frames = &frame,
                        .frame_count = 1};
    memcpy(variant.digest, digest.digest, sizeof(variant.digest));
    read_entries(&pack, 0, FRAME_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 'h':
        read_head(data + 1, size - 1);
        break;
    case 'e':
        read_text(data + 1, size - 1);
        break;
    case 's':
        read_pack(data + 1, size - 1, true);
        break;
    default:
        read_pack(data + 1, size - 1, false);
    }
    return 0;
}
