/*
 * A published manifest, of which anything may be in the file. The first byte says what the others
 * are: the whole file; or the records of its head (h) or of its entries (e) as text, since no
 * fuzzer guesses checksums. What is accepted is in range, and no entry has bytes or leads out.
 */
#include "cache/pack/pack_reader.h"
#include "cache/pack/records.h"
#include "cache/pack/zstd_frame.h"
#include "cache/published/published_head.h"
#include "engine/compiler.h"
#include "fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

enum { TEXT_MAX = 1 << 15 };

static int memory_file(const void *data, size_t size)
{
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    return fd;
}

static void check_head(const struct published_head *head)
{
    FUZZ_CHECK(head->variant.root[0] == '/' && head->variant.handle);
    FUZZ_CHECK(head->variant.entry_count <= PUBLISHED_ENTRIES_MAX);
    FUZZ_CHECK(head->size <= PUBLISHED_BYTES_MAX && head->length <= PUBLISHED_HEAD_MAX);
    FUZZ_CHECK(head->length % PUBLISHED_HEAD_BLOCK == 0 && head->length > 0);
    for (size_t i = 0; i < head->definition_count; i++)
        FUZZ_CHECK(head->definitions[i].name[0] && !strchr(head->definitions[i].name, '/'));
}

static void check_entry(const struct pack_entry *entry)
{
    const char *path = entry->record.path;
    FUZZ_CHECK(*path && *path != '/' && !strstr(path, "//") && !strstr(path, "/../"));
    FUZZ_CHECK(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0);
    FUZZ_CHECK(entry->extent_count == 0 && entry->stored == 0);
    FUZZ_CHECK(strchr("fdl", entry->record.type) && entry->record.size <= INT64_MAX);
}

static void read_entries(int fd, const struct pack_variant *variant, uint64_t offset,
                         uint64_t stored, uint64_t size)
{
    struct pack *pack = NULL;
    struct pack_entries *entries = NULL;
    const struct pack_entry *entry;
    struct pkgcache_error error = {0};
    int result = pack_open_entries(fd, "x", variant, offset, stored, size, &pack, &error);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    if (result < 0)
        return;
    FUZZ_CHECK(pack_entries_open(pack, 0, &entries, &error) == 0);
    while ((result = pack_entries_next(entries, &entry, &error)) == 1)
        check_entry(entry);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    pack_entries_close(entries);
    pack_close(pack);
}

static void read_file(const void *data, size_t size)
{
    struct published_head head;
    struct pkgcache_error error = {0};
    CLEANUP_CLOSE int fd = memory_file(data, size);
    int result = published_head_read(fd, "x", &head, &error);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && error.message[0]));
    if (result == 0) {
        CLEANUP_TEXT struct text again = {0};
        check_head(&head);
        published_head_append(&again, &head);
        FUZZ_CHECK(again.length <= head.length + PUBLISHED_HEAD_BLOCK);
        read_entries(fd, &head.variant, head.length, head.stored, head.size);
    }
    published_head_free(&head);
}

/* Text has | where records end: dictionaries and people write that more easily than NUL. */
static struct text take_text(const uint8_t *data, size_t size)
{
    struct text text = {0};
    text_append(&text, (const char *)data, MIN(size, (size_t)TEXT_MAX));
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] == '|')
            text.bytes[i] = '\0';
    return text;
}

/* A head of these records, with the right digest behind them, and an entry that is none. */
static void read_head(const uint8_t *data, size_t size)
{
    static const char zeros[PUBLISHED_HEAD_BLOCK];
    CLEANUP_TEXT struct text text = take_text(data, size);
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text.length ? text.bytes : "", text.length));
    text_append_string(&text, "end ");
    record_append_bytes(&text, digest.digest, sizeof(digest.digest));
    text_append_byte(&text, '\0');
    text_append(&text, zeros, -text.length % PUBLISHED_HEAD_BLOCK);
    text_append_string(&text, "entries");
    read_file(text.bytes, text.length);
}

static void read_records(const uint8_t *data, size_t size)
{
    struct pack_variant variant = {.handle = "{}", .root = "/", .entry_count = 2};
    XXH128_canonical_t digest;
    CLEANUP_TEXT struct text text = take_text(data, size);
    while (text.length == 0 || text.length % 512 != 0)
        text_append_byte(&text, '\0');
    CLEANUP_FREE char *compressed = malloc(ZSTD_compressBound(text.length));
    ZSTD_CCtx *context = ZSTD_createCCtx();
    int64_t stored = zstd_frame_compress(context, 1, text.bytes, text.length, compressed);
    ZSTD_freeCCtx(context);
    FUZZ_CHECK(stored > 0);
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text.bytes, text.length));
    memcpy(variant.digest, digest.digest, sizeof(variant.digest));
    CLEANUP_CLOSE int fd = memory_file(compressed, (size_t)stored);
    read_entries(fd, &variant, 0, (uint64_t)stored, text.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'h')
        read_head(data + 1, size - 1);
    else if (data[0] == 'e')
        read_records(data + 1, size - 1);
    else
        read_file(data + 1, size - 1);
    return 0;
}
