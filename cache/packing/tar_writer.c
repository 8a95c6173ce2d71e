/*
 * Making members with libarchive. It writes through a callback, so what it makes of a header can be
 * changed before the frames have it: libarchive adds no pax records of others.
 *
 * Names are bytes, and pax wants UTF-8: the locale of the thread is C.UTF-8 while libarchive works.
 * So names that are UTF-8 stay as they are, and others are marked hdrcharset=BINARY, whatever the
 * user's locale is.
 *
 * Of extended attributes, libarchive writes two kinds of records, its own (base64) and those of GNU
 * tar (SCHILY.xattr), which end a name at its first "=", and change a "%". An attribute whose name
 * has one of these gets the first kind only: there are two archives that write by turns.
 */
#include "cache/packing/tar_writer.h"

#include "cache/packing/tar_acl.h"
#include "engine/compiler.h"

#include <locale.h>

enum {
    BLOCK = 512,
    /* Fields of a header block (POSIX.1-2017, pax, "ustar Interchange Format"). */
    NAME_AT = 0,
    NAME_SIZE = 100,
    SIZE_AT = 124,
    SIZE_SIZE = 12,
    SUM_AT = 148,
    SUM_SIZE = 8,
    TYPE_AT = 156,
    SUM_DIGITS = 6,
    SIZE_DIGITS = 11,
};

struct tar_writer {
    const struct archive_library *libarchive;
    struct frames *frames;
    struct archive *usual;
    struct archive *own_kind; /* writes libarchive's kind of xattrs only */
    struct archive *current;
    struct archive_entry *entry;
    struct text header; /* while one is made */
    bool in_header;
    int error;
    const struct tar_member *member;
    uint64_t at; /* in the file, while its bytes are added */
    size_t extent;
    uint64_t extent_left;
    locale_t locale;
};

static la_ssize_t on_write(struct archive *archive, void *context, const void *bytes, size_t length)
{
    struct tar_writer *writer = context;
    if (writer->in_header)
        text_append(&writer->header, bytes, length);
    else if (writer->error == 0)
        writer->error = frames_add(writer->frames, bytes, length);
    int error = writer->in_header ? writer->header.error : writer->error;
    if (error < 0)
        writer->libarchive->set_error(archive, -error, "%s", strerror(-error));
    return error < 0 ? -1 : (la_ssize_t)length;
}

/* @return NULL: no memory */
static struct archive *open_archive(struct tar_writer *writer, const char *xattrs)
{
    struct archive *archive = writer->libarchive->write_new();
    if (archive &&
        (writer->libarchive->write_set_format_pax(archive) < ARCHIVE_OK ||
         writer->libarchive->write_set_format_option(archive, NULL, "xattrheader", xattrs) <
             ARCHIVE_WARN ||
         writer->libarchive->write_set_bytes_per_block(archive, 0) < ARCHIVE_OK ||
         writer->libarchive->write_set_bytes_in_last_block(archive, 1) < ARCHIVE_OK ||
         writer->libarchive->write_open(archive, writer, NULL, on_write, NULL) < ARCHIVE_OK)) {
        writer->libarchive->write_free(archive);
        archive = NULL;
    }
    return archive;
}

/* Frees an archive without ending it: that would write. */
static void free_archive(const struct archive_library *library, struct archive *archive)
{
    if (archive) {
        library->write_fail(archive);
        library->write_free(archive);
    }
}

int tar_writer_new(const struct archive_library *library, struct frames *frames,
                   struct tar_writer **ret)
{
    struct tar_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    writer->libarchive = library;
    writer->frames = frames;
    writer->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL); /* NULL: names are BINARY */
    writer->usual = open_archive(writer, "ALL");
    writer->own_kind = open_archive(writer, "LIBARCHIVE");
    writer->entry = writer->libarchive->entry_new();
    if (!writer->usual || !writer->own_kind || !writer->entry) {
        tar_writer_free(writer);
        return -ENOMEM;
    }
    *ret = writer;
    return 0;
}

/* Whether GNU tar's kind of records would give an attribute another name. */
static bool has_odd_name(const struct xattrs *xattrs)
{
    for (size_t i = 0; xattrs && i < xattrs->count; i++)
        if (strpbrk(xattrs->items[i].name, "=%"))
            return true;
    return false;
}

/* Whether a member's bytes are not all there. */
static bool has_holes(const struct tar_member *member)
{
    bool whole = member->extent_count == 1 && member->extents[0].length == member->size;
    return S_ISREG(member->mode) && !member->link && member->size > 0 && !whole;
}

static void fill_entry(const struct archive_library *library, struct archive_entry *entry,
                       const struct tar_member *member)
{
    library->entry_clear(entry);
    library->entry_copy_pathname(entry, member->path);
    library->entry_set_mode(entry, member->mode);
    library->entry_set_mtime(entry, member->mtime.tv_sec, member->mtime.tv_nsec);
    library->entry_set_size(entry, member->link ? 0 : (la_int64_t)member->size);
    if (member->link)
        library->entry_copy_hardlink(entry, member->link);
    else if (member->target)
        library->entry_copy_symlink(entry, member->target);
    for (size_t i = 0; member->xattrs && i < member->xattrs->count; i++) {
        const struct pack_xattr *xattr = &member->xattrs->items[i];
        if (!tar_acl_add(library, entry, xattr))
            library->entry_xattr_add_entry(entry, xattr->name, xattr->value, xattr->length);
    }
    if (!has_holes(member))
        return;
    for (size_t i = 0; i < member->extent_count; i++)
        library->entry_sparse_add_entry(entry, (la_int64_t)member->extents[i].offset,
                                        (la_int64_t)member->extents[i].length);
    if (member->extent_count == 0)
        library->entry_sparse_add_entry(entry, 0, 0);
}

/* --- Records of our own ---------------------------------------------------------------------- */

static void put_octal(char *field, size_t digits, uint64_t value)
{
    for (size_t i = digits; i > 0; i--, value >>= 3)
        field[i - 1] = (char)('0' + (value & 7));
}

static void put_sum(char *header)
{
    unsigned sum = 0;
    memset(header + SUM_AT, ' ', SUM_SIZE);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    put_octal(header + SUM_AT, SUM_DIGITS, sum);
    header[SUM_AT + SUM_DIGITS] = '\0';
}

/* Appends zeros up to the next block. */
static void pad(struct text *text)
{
    static const char zeros[BLOCK];
    text_append(text, zeros, -text->length % BLOCK);
}

/* Copies records, but not those of a keyword. */
static int copy_records(struct text *ret, const char *records, size_t size, const char *keyword)
{
    while (size > 0) {
        char *end;
        size_t length = strtoull(records, &end, 10);
        if (length == 0 || length > size || *end != ' ')
            return -EBADMSG;
        const char *key = end + 1;
        size_t key_length = strlen(keyword);
        if (strncmp(key, keyword, key_length) != 0 || key[key_length] != '=')
            text_append(ret, records, length);
        records += length;
        size -= length;
    }
    return 0;
}

/* Appends a record: "LENGTH KEYWORD=VALUE\n", where the length counts its own digits. */
static void append_record(struct text *text, const char *keyword, const char *value)
{
    size_t rest = strlen(keyword) + strlen(value) + sizeof(" =");
    size_t length = rest + 1;
    for (size_t digits = 1, limit = 10; length >= limit; limit *= 10)
        length = rest + ++digits;
    text_printf(text, "%zu %s=%s\n", length, keyword, value);
}

/* Sets a record in what libarchive made: among those that are there, or as the only one. */
static int set_record(struct text *header, const char *keyword, const char *value)
{
    CLEANUP_TEXT struct text made = {0};
    bool has_records = header->bytes[TYPE_AT] == 'x';
    size_t size = has_records ? strtoull(header->bytes + SIZE_AT, NULL, 8) : 0;
    size_t rest_at = has_records ? BLOCK + size + -size % BLOCK : 0;
    if (rest_at > header->length)
        return -EBADMSG;
    text_append(&made, header->bytes, BLOCK);
    if (has_records && copy_records(&made, header->bytes + BLOCK, size, keyword) < 0)
        return -EBADMSG;
    append_record(&made, keyword, value);
    size = made.length - BLOCK;
    pad(&made);
    text_append(&made, header->bytes + rest_at, header->length - rest_at);
    if (made.error)
        return made.error;
    if (!has_records) {
        memset(made.bytes + NAME_AT, 0, NAME_SIZE);
        strcpy(made.bytes + NAME_AT, "PaxHeader/equal");
        made.bytes[TYPE_AT] = 'x';
    }
    put_octal(made.bytes + SIZE_AT, SIZE_DIGITS, size);
    put_sum(made.bytes);
    text_free(header);
    return text_steal(&made, &header->bytes, &header->length);
}

/* --- Members --------------------------------------------------------------------------------- */

/* Libarchive's error, where it is not one of ours. */
static int take_error(const struct tar_writer *writer)
{
    return writer->error ? writer->error : -EIO;
}

static int make_header(struct tar_writer *writer)
{
    text_free(&writer->header);
    locale_t before = writer->locale ? uselocale(writer->locale) : (locale_t)0;
    writer->in_header = true;
    int result = writer->libarchive->write_header(writer->current, writer->entry);
    writer->in_header = false;
    if (before)
        uselocale(before);
    if (result < ARCHIVE_WARN)
        return take_error(writer);
    return writer->header.error;
}

/* Bytes of contents that come behind the header. */
static uint64_t own_bytes(const struct tar_member *member)
{
    uint64_t bytes = 0;
    for (size_t i = 0; !member->link && i < member->extent_count; i++)
        bytes += member->extents[i].length;
    return bytes;
}

int tar_writer_begin(struct tar_writer *writer, const struct tar_member *member)
{
    writer->member = member;
    writer->at = 0;
    writer->extent = 0;
    writer->extent_left = member->extent_count > 0 ? member->extents[0].length : 0;
    writer->current = has_odd_name(member->xattrs) ? writer->own_kind : writer->usual;
    fill_entry(writer->libarchive, writer->entry, member);
    int result = make_header(writer);
    if (result == 0 && member->is_equal)
        result = set_record(&writer->header, TAR_EQUAL_KEYWORD, TAR_EQUAL_VALUE);
    /* libarchive 3.6.2 cuts off this one when the name is long and not UTF-8. */
    if (result == 0 && has_holes(member))
        result = set_record(&writer->header, "GNU.sparse.name", member->path);
    if (result == 0)
        result = frames_cut_for(writer->frames, own_bytes(member));
    if (result == 0)
        result = frames_add(writer->frames, writer->header.bytes, writer->header.length);
    /* The map of holes stands before the first byte, and is written as soon as one comes. */
    if (result == 0 && S_ISREG(member->mode) && !member->link &&
        writer->libarchive->write_data(writer->current, "", 0) < 0)
        result = take_error(writer);
    return result;
}

/* Goes on to an offset in the file, over a hole. libarchive looks at no byte of it. */
static int skip_to(struct tar_writer *writer, uint64_t offset)
{
    static const char zeros[BLOCK];
    while (writer->at < offset) {
        size_t length = (size_t)MIN(offset - writer->at, (uint64_t)INT32_MAX);
        la_ssize_t taken = writer->libarchive->write_data(writer->current, zeros, length);
        if (taken <= 0)
            return take_error(writer);
        writer->at += (uint64_t)taken;
    }
    return 0;
}

int tar_writer_add(struct tar_writer *writer, const void *bytes, size_t length)
{
    const struct tar_member *member = writer->member;
    while (length > 0) {
        if (writer->extent_left == 0)
            writer->extent_left = member->extents[++writer->extent].length;
        const struct pack_extent *extent = &member->extents[writer->extent];
        int result = skip_to(writer, extent->offset + extent->length - writer->extent_left);
        if (result < 0)
            return result;
        size_t fits = (size_t)MIN((uint64_t)length, writer->extent_left);
        la_ssize_t taken = writer->libarchive->write_data(writer->current, bytes, fits);
        if (taken <= 0)
            return take_error(writer);
        bytes = (const char *)bytes + taken;
        length -= (size_t)taken;
        writer->at += (uint64_t)taken;
        writer->extent_left -= (uint64_t)taken;
    }
    return 0;
}

int tar_writer_end_member(struct tar_writer *writer)
{
    if (writer->libarchive->write_finish_entry(writer->current) < ARCHIVE_WARN)
        return take_error(writer);
    return frames_cut_for(writer->frames, own_bytes(writer->member));
}

int tar_writer_abandon(struct tar_writer *writer)
{
    bool usual = writer->current == writer->usual;
    struct archive *fresh = open_archive(writer, usual ? "ALL" : "LIBARCHIVE");
    if (!fresh)
        return -ENOMEM;
    free_archive(writer->libarchive, writer->current);
    *(usual ? &writer->usual : &writer->own_kind) = fresh;
    return 0;
}

int tar_writer_end(struct tar_writer *writer)
{
    static const char zeros[2 * BLOCK];
    return frames_add(writer->frames, zeros, sizeof(zeros));
}

void tar_writer_free(struct tar_writer *writer)
{
    if (!writer)
        return;
    free_archive(writer->libarchive, writer->usual);
    free_archive(writer->libarchive, writer->own_kind);
    writer->libarchive->entry_free(writer->entry);
    text_free(&writer->header);
    if (writer->locale)
        freelocale(writer->locale);
    free(writer);
}

int tar_make_index_header(const struct archive_library *library, uint64_t size,
                          char ret[static BLOCK])
{
    struct tar_writer writer = {.libarchive = library};
    const struct tar_member member = {
        .path = PACK_INDEX_NAME, .mode = S_IFREG | 0444, .size = size};
    writer.current = open_archive(&writer, "ALL");
    writer.entry = library->entry_new();
    int result = -ENOMEM;
    if (writer.current && writer.entry) {
        const struct pack_extent all = {0, size};
        struct tar_member whole = member;
        whole.extents = &all;
        whole.extent_count = 1;
        fill_entry(library, writer.entry, &whole);
        result = make_header(&writer);
        if (result == 0 && writer.header.length != BLOCK)
            result = -EFBIG;
        if (result == 0)
            memcpy(ret, writer.header.bytes, BLOCK);
    }
    free_archive(library, writer.current);
    library->entry_free(writer.entry);
    text_free(&writer.header);
    return result;
}
