/* Reading and writing heads. All records have their places, and each is there once. */
#include "cache/published/published_head.h"

#include "cache/pack/records.h"

#include <inttypes.h>
#include <xxhash.h>

#define WORD_VERSION    "pkgcache-published"
#define WORD_DEFINITION "definition"
#define WORD_ABSENT     "no-definition"

enum { END_BYTES = 4 + 2 * PACK_DIGEST_BYTES + 1 }; /* the last record, with its NUL */

/* --- Writing --------------------------------------------------------------------------------- */

static void append_times(struct text *text, const struct published_times *times)
{
    text_printf(text, " %jd.%09ld %jd.%09ld", (intmax_t)times->mtime.tv_sec, times->mtime.tv_nsec,
                (intmax_t)times->ctime.tv_sec, times->ctime.tv_nsec);
}

static void append_definition(struct text *text, const struct published_definition *definition)
{
    if (definition->exists) {
        text_printf(text, WORD_DEFINITION " %" PRIu64, definition->size);
        append_times(text, &definition->times);
    } else
        text_append_string(text, WORD_ABSENT);
    text_printf(text, " %s", definition->name);
    text_append_byte(text, '\0');
}

void published_head_append(struct text *text, const struct published_head *head)
{
    static const char zeros[PUBLISHED_HEAD_BLOCK];
    const struct pack_variant *variant = &head->variant;
    size_t begin = text->length;
    XXH128_canonical_t digest;
    text_printf(text, WORD_VERSION " %d", PUBLISHED_VERSION);
    text_append_byte(text, '\0');
    text_printf(text, "variant %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ",
                variant->entry_count, variant->file_count, variant->bytes, head->stored,
                head->size);
    record_append_bytes(text, variant->digest, sizeof(variant->digest));
    text_append_byte(text, '\0');
    text_printf(text, "handle %s", variant->handle);
    text_append_byte(text, '\0');
    text_printf(text, "root %s", variant->root);
    text_append_byte(text, '\0');
    text_append_string(text, "payload");
    append_times(text, &head->root);
    text_append_byte(text, '\0');
    for (size_t i = 0; i < head->definition_count; i++)
        append_definition(text, &head->definitions[i]);
    if (text->error)
        return;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text->bytes + begin, text->length - begin));
    text_append_string(text, "end ");
    record_append_bytes(text, digest.digest, sizeof(digest.digest));
    text_append_byte(text, '\0');
    text_append(text, zeros, -(text->length - begin) % PUBLISHED_HEAD_BLOCK);
}

/* --- Reading --------------------------------------------------------------------------------- */

struct head_reader {
    struct published_head *head;
    const char *name;
    size_t at;   /* in the bytes of the head, of the next record */
    size_t used; /* of them */
    struct pkgcache_error *error;
};

static int refuse(const struct head_reader *reader, const char *why)
{
    return error_set(reader->error, EBADMSG, "%s: %s", reader->name, why);
}

/* The next record. NULL: it does not end. */
static const char *next(struct head_reader *reader)
{
    const char *text = reader->head->bytes + reader->at;
    const char *nul = memchr(text, '\0', reader->used - reader->at);
    if (!nul)
        return NULL;
    reader->at += (size_t)(nul - text) + 1;
    return text;
}

static bool take_times(const char **text, char after, struct published_times *ret)
{
    return manifest_take_time(text, ' ', &ret->mtime) &&
           manifest_take_time(text, after, &ret->ctime);
}

static int read_version(struct head_reader *reader)
{
    uint64_t version;
    const char *text = next(reader);
    if (!text || !record_take_word(&text, WORD_VERSION) ||
        !record_take_number(&text, '\0', UINT32_MAX, &version))
        return refuse(reader, "this is no published manifest, or it is damaged");
    if (version == PUBLISHED_VERSION)
        return 0;
    return error_set(reader->error, EBADMSG,
                     "%s: the manifest has version %" PRIu64
                     ", and this program reads version %d: read it with the pkgcache that made it",
                     reader->name, version, PUBLISHED_VERSION);
}

static int read_counts(struct head_reader *reader)
{
    struct published_head *head = reader->head;
    struct pack_variant *variant = &head->variant;
    const char *text = next(reader);
    if (!text || !record_take_word(&text, "variant") ||
        !record_take_number(&text, ' ', INT64_MAX, &variant->entry_count) ||
        !record_take_number(&text, ' ', INT64_MAX, &variant->file_count) ||
        !record_take_number(&text, ' ', INT64_MAX, &variant->bytes) ||
        !record_take_number(&text, ' ', INT64_MAX, &head->stored) ||
        !record_take_number(&text, ' ', INT64_MAX, &head->size) ||
        !record_take_bytes(&text, PACK_DIGEST_BYTES, variant->digest) || *text)
        return refuse(reader, "its numbers cannot be read: it is damaged");
    if (variant->entry_count <= PUBLISHED_ENTRIES_MAX && head->size <= PUBLISHED_BYTES_MAX)
        return 0;
    return error_set(reader->error, EBADMSG,
                     "%s: it claims %" PRIu64 " entries in %" PRIu64
                     " bytes, and a manifest has %d in %d at most",
                     reader->name, variant->entry_count, head->size, PUBLISHED_ENTRIES_MAX,
                     PUBLISHED_BYTES_MAX);
}

static int read_definition(struct head_reader *reader, const char *text)
{
    struct published_head *head = reader->head;
    if (head->definition_count == PUBLISHED_DEFINITIONS_MAX)
        return refuse(reader, "it has more definitions than may be: it is damaged");
    struct published_definition *definition = &head->definitions[head->definition_count++];
    definition->exists = record_take_word(&text, WORD_DEFINITION);
    if (definition->exists ? !record_take_number(&text, ' ', INT64_MAX, &definition->size) ||
                                 !take_times(&text, ' ', &definition->times)
                           : !record_take_word(&text, WORD_ABSENT))
        return refuse(reader, "nobody knows what a record says: it is damaged");
    if (!*text || strchr(text, '/') || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return refuse(reader, "a definition has a name that no file can have");
    definition->name = text;
    return 0;
}

/* The last record, of which `text` is the rest, and what must be behind it. */
static int read_end(struct head_reader *reader, const char *text)
{
    struct published_head *head = reader->head;
    uint8_t said[PACK_DIGEST_BYTES];
    XXH128_canonical_t digest;
    size_t length = reader->at - END_BYTES;
    if (!record_take_bytes(&text, sizeof(said), said) || *text)
        return refuse(reader, "its digest cannot be read: it is damaged");
    XXH128_canonicalFromHash(&digest, XXH3_128bits(head->bytes, length));
    if (memcmp(digest.digest, said, sizeof(said)) != 0)
        return refuse(reader, "its head has another digest: it is damaged");
    head->length =
        (reader->at + PUBLISHED_HEAD_BLOCK - 1) / PUBLISHED_HEAD_BLOCK * PUBLISHED_HEAD_BLOCK;
    if (head->length > reader->used)
        return refuse(reader, "it is cut off");
    for (size_t i = reader->at; i < head->length; i++)
        if (head->bytes[i])
            return refuse(reader, "something follows the end of its head: it is damaged");
    return 0;
}

static int read_records(struct head_reader *reader)
{
    struct published_head *head = reader->head;
    int result = read_version(reader);
    if (result == 0)
        result = read_counts(reader);
    if (result < 0)
        return result;
    const char *handle = next(reader);
    const char *root = handle ? next(reader) : NULL;
    const char *payload = root ? next(reader) : NULL;
    if (!payload || !record_take_word(&handle, "handle") || !record_take_word(&root, "root") ||
        *root != '/' || !record_take_word(&payload, "payload") ||
        !take_times(&payload, '\0', &head->root))
        return refuse(reader, "whose it is cannot be read: it is damaged");
    head->variant.handle = handle;
    head->variant.root = root;
    for (;;) {
        const char *text = next(reader);
        if (!text)
            return refuse(reader, "its head does not end: it is cut off or damaged");
        if (record_take_word(&text, "end"))
            return read_end(reader, text);
        result = read_definition(reader, text);
        if (result < 0)
            return result;
    }
}

int published_head_read(int fd, const char *name, struct published_head *ret,
                        struct pkgcache_error *error)
{
    struct head_reader reader = {.head = ret, .name = name, .error = error};
    *ret = (struct published_head){.bytes = malloc(PUBLISHED_HEAD_MAX)};
    if (!ret->bytes)
        return error_set(error, ENOMEM, "%s: out of memory", name);
    while (reader.used < PUBLISHED_HEAD_MAX) {
        ssize_t bytes = pread(fd, ret->bytes + reader.used, PUBLISHED_HEAD_MAX - reader.used,
                              (off_t)reader.used);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return error_set(error, errno, "%s: cannot be read: %s", name, strerror(errno));
        if (bytes == 0)
            break;
        reader.used += (size_t)bytes;
    }
    return read_records(&reader);
}

void published_head_free(struct published_head *head)
{
    free(head->bytes);
    *head = (struct published_head){0};
}
