/*
 * One pass over all frames: libarchive reads the archive out of them, and each of its members is
 * compared with the entry of the index whose turn it is. Libarchive reads names in the C locale, as
 * they are: in one with UTF-8 it composes them (é of two characters becomes one, NFC).
 */
#include "cache/packing/pack_check.h"

#include "cache/packing/tar_acl.h"
#include "cache/packing/tar_writer.h"
#include "cache/store/handle.h"
#include "engine/compiler.h"
#include "engine/digest.h"

#include <endian.h>
#include <inttypes.h>
#include <locale.h>

enum { NAME_BYTES = 300 };

/* A file whose bytes are in the archive. Those of a pack come in the order of their positions. */
struct stored_file {
    uint64_t position;
    uint64_t size;
    uint8_t digest[PACK_DIGEST_BYTES];
    char *path; /* in the archive */
};

struct checking {
    const struct pack *pack;
    const struct pack_check *check;
    struct archive_library libarchive;
    struct archive *archive;
    struct pkgcache_error *error;
    struct pack_decoder *decoder;
    char *block;    /* a frame */
    uint32_t frame; /* that is next */
    uint32_t frame_count;
    int result; /* of a frame */
    struct digest digest;
    struct stored_file *files;
    size_t file_count;
    size_t file_capacity;
    char **paths; /* of the variant's entries, in the archive */
    size_t path_count;
    size_t path_capacity;
    size_t variant;
    char *prefix; /* of its paths in the archive */
    struct pkgcache_progress progress;
};

static int refuse(struct checking *checking, const char *path, const char *why)
{
    char name[NAME_BYTES];
    size_t count;
    const struct pack_variant *variants = pack_variants(checking->pack, &count);
    pack_name_variant(variants[checking->variant].handle, checking->variant, name, sizeof(name));
    return error_set(checking->error, EBADMSG, "%s: %s: %s", name, path, why);
}

static la_ssize_t on_read(struct archive *archive, void *context, const void **ret)
{
    struct checking *checking = context;
    uint32_t number = checking->frame;
    uint32_t count;
    const struct pack_frame *frames = pack_frames(checking->pack, &count);
    if (number == count)
        return 0;
    checking->result =
        pack_fetch_frame(checking->pack, number, checking->decoder, NULL, NULL, checking->error);
    if (checking->result == 0)
        checking->result = pack_decode_frame(checking->pack, number, checking->decoder,
                                             checking->block, checking->error);
    if (checking->result < 0) {
        checking->libarchive.set_error(archive, -checking->result, "%s", checking->error->message);
        return -1;
    }
    checking->frame++;
    *ret = checking->block;
    return (la_ssize_t)frames[number].size;
}

/* --- One member ------------------------------------------------------------------------------ */

static bool is_acl(const char *name)
{
    return strncmp(name, "system.posix_acl_", 17) == 0;
}

/* Whether an attribute of the archive is the entry's. Those of a name without "=" and "%" are there
 * twice, of both kinds (tar_writer.c). */
static bool has_xattr(const struct pack_entry *entry, const char *name, const void *value,
                      size_t length)
{
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct pack_xattr *xattr = &entry->xattrs[i];
        if (strcmp(xattr->name, name) == 0)
            return xattr->length == length &&
                   (length == 0 || memcmp(xattr->value, value, length) == 0);
    }
    return false;
}

static bool has_same_xattrs(const struct checking *checking, struct archive_entry *member,
                            const struct pack_entry *entry)
{
    const struct archive_library *library = &checking->libarchive;
    const char *name;
    const void *value;
    size_t length;
    size_t expected = 0;
    size_t found = 0;
    for (size_t i = 0; i < entry->xattr_count; i++)
        if (!is_acl(entry->xattrs[i].name))
            expected += strpbrk(entry->xattrs[i].name, "=%") ? 1 : 2;
    library->entry_xattr_reset(member);
    while (library->entry_xattr_next(member, &name, &value, &length) == ARCHIVE_OK) {
        if (!has_xattr(entry, name, value, length))
            return false;
        found++;
    }
    return found <= expected && found >= expected / 2;
}

/*
 * Whether modes and ACLs of both are the same. Where there is an access ACL, the archive's mode has
 * the permissions of the owning group, as libarchive makes it, and the entry's has the mask
 * (acl(5)).
 */
static bool has_same_mode(const struct checking *checking, struct archive_entry *member,
                          const struct pack_entry *entry)
{
    const struct archive_library *library = &checking->libarchive;
    struct archive_entry *expected = library->entry_new();
    if (!expected)
        return false;
    library->entry_set_mode(expected, (library->entry_mode(member) & S_IFMT) | entry->record.mode);
    for (size_t i = 0; i < entry->xattr_count; i++)
        tar_acl_add(library, expected, &entry->xattrs[i]);
    CLEANUP_FREE char *a = library->entry_acl_to_text(member, NULL, 0);
    CLEANUP_FREE char *b = library->entry_acl_to_text(expected, NULL, 0);
    bool same = library->entry_mode(member) == library->entry_mode(expected) &&
                strcmp(a ? a : "", b ? b : "") == 0;
    library->entry_free(expected);
    return same;
}

/* The stored file at a position; NULL: there is none. */
static const struct stored_file *find_stored(const struct checking *checking, uint64_t position)
{
    size_t low = 0;
    size_t high = checking->file_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (checking->files[middle].position < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low < checking->file_count && checking->files[low].position == position
               ? &checking->files[low]
               : NULL;
}

static int note_stored(struct checking *checking, const struct pack_entry *entry, const char *path)
{
    if (checking->file_count == checking->file_capacity) {
        size_t capacity = checking->file_capacity ? 2 * checking->file_capacity : 1024;
        struct stored_file *larger = realloc(checking->files, capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        checking->files = larger;
        checking->file_capacity = capacity;
    }
    struct stored_file *file = &checking->files[checking->file_count];
    *file = (struct stored_file){.position = entry->position, .size = entry->record.size};
    memcpy(file->digest, entry->record.digest, sizeof(file->digest));
    file->path = strdup(path);
    if (!file->path)
        return -ENOMEM;
    checking->file_count++;
    return 0;
}

/* Reads the bytes of a member, and compares their digest. */
static int check_bytes(struct checking *checking, const struct pack_entry *entry, const char *path)
{
    const void *bytes;
    size_t length;
    la_int64_t offset;
    uint64_t at = 0;
    XXH128_hash_t digest;
    XXH128_canonical_t canonical;
    int result;
    digest_begin(&checking->digest, DIGEST_WITHOUT_EMPTY);
    while ((result = checking->libarchive.read_data_block(checking->archive, &bytes, &length,
                                                          &offset)) == ARCHIVE_OK) {
        if ((uint64_t)offset < at || (uint64_t)offset + length > entry->record.size)
            return refuse(checking, path, "its bytes in the archive are not in order");
        if (digest_add_hole(&checking->digest, (uint64_t)offset - at) < 0 ||
            digest_add(&checking->digest, bytes, length) < 0)
            return refuse(checking, path, "out of memory");
        at = (uint64_t)offset + length;
    }
    if (checking->result < 0)
        return checking->result;
    if (result != ARCHIVE_EOF)
        return refuse(checking, path, "its bytes in the archive cannot be read");
    if (digest_add_hole(&checking->digest, entry->record.size - at) < 0 ||
        digest_end(&checking->digest, &digest) < 0)
        return refuse(checking, path, "out of memory");
    XXH128_canonicalFromHash(&canonical, digest);
    if (memcmp(canonical.digest, entry->record.digest, sizeof(canonical.digest)) != 0)
        return refuse(checking, path, "its contents do not have the digest that the index has");
    checking->progress.bytes += entry->record.size;
    return 0;
}

/* What a link in the archive must lead to; NULL: it must be none, or cannot be right. */
static const char *expected_link(const struct checking *checking, const struct pack_entry *entry,
                                 bool *ret_sound)
{
    *ret_sound = true;
    if (entry->linked)
        return checking->paths[entry->original];
    if (entry->record.type != 'f' || entry->stored == 0)
        return NULL;
    const struct stored_file *file = find_stored(checking, entry->position);
    if (!file)
        return NULL;
    *ret_sound = file->size == entry->record.size &&
                 memcmp(file->digest, entry->record.digest, sizeof(file->digest)) == 0;
    return file->path;
}

static bool is_equal_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static int check_member(struct checking *checking, struct archive_entry *member,
                        const struct pack_entry *entry)
{
    const struct archive_library *library = &checking->libarchive;
    const struct manifest_record *record = &entry->record;
    const char *path = checking->paths[checking->path_count - 1];
    const char *name = library->entry_pathname(member);
    bool sound;
    const char *link = expected_link(checking, entry, &sound);
    if (!is_equal_text(name, path))
        return refuse(checking, record->path, "the archive has another name in its place");
    if (!sound)
        return refuse(checking, record->path,
                      "it shares its bytes with a file that is another one");
    if (!is_equal_text(library->entry_hardlink(member), link))
        return refuse(checking, record->path, "the archive links it to another file");
    mode_t type = record->type == 'd' ? S_IFDIR : record->type == 'l' ? S_IFLNK : S_IFREG;
    if (!link && (library->entry_mode(member) & S_IFMT) != type)
        return refuse(checking, record->path, "the archive gives it another type");
    if (!has_same_mode(checking, member, entry))
        return refuse(checking, record->path, "the archive gives it another mode or ACL");
    if (library->entry_mtime(member) != record->mtime.tv_sec ||
        library->entry_mtime_nsec(member) != record->mtime.tv_nsec)
        return refuse(checking, record->path, "the archive gives it another time");
    if (!link && !is_equal_text(library->entry_symlink(member), entry->target))
        return refuse(checking, record->path, "the archive has another text of the link");
    if (!entry->linked && !has_same_xattrs(checking, member, entry))
        return refuse(checking, record->path, "the archive gives it other extended attributes");
    if (record->type != 'f' || link)
        return 0;
    if ((uint64_t)library->entry_size(member) != record->size)
        return refuse(checking, record->path, "the archive gives it another size");
    if (entry->stored > 0 && note_stored(checking, entry, path) < 0)
        return refuse(checking, record->path, "out of memory");
    return check_bytes(checking, entry, record->path);
}

/* --- All of them ----------------------------------------------------------------------------- */

static int add_path(struct checking *checking, const struct pack_entry *entry)
{
    bool is_root = strcmp(entry->record.path, ".") == 0;
    char *path;
    if (checking->path_count == checking->path_capacity) {
        size_t capacity = checking->path_capacity ? 2 * checking->path_capacity : 64;
        char **larger = realloc(checking->paths, capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        checking->paths = larger;
        checking->path_capacity = capacity;
    }
    if (asprintf(&path, "%s%s%s%s", checking->prefix, is_root ? "" : "/",
                 is_root ? "" : entry->record.path, entry->record.type == 'd' ? "/" : "") < 0)
        return -ENOMEM;
    checking->paths[checking->path_count++] = path;
    return 0;
}

static void forget_paths(struct checking *checking)
{
    for (uint64_t i = 0; i < checking->path_count; i++)
        free(checking->paths[i]);
    free(checking->paths);
    free(checking->prefix);
    checking->paths = NULL;
    checking->prefix = NULL;
    checking->path_count = checking->path_capacity = 0;
}

static int check_entry(struct checking *checking, const struct pack_entry *entry)
{
    struct archive_entry *member;
    if (add_path(checking, entry) < 0)
        return refuse(checking, entry->record.path, "out of memory");
    int result = checking->libarchive.read_next_header(checking->archive, &member);
    if (checking->result < 0)
        return checking->result;
    if (result == ARCHIVE_EOF)
        return refuse(checking, entry->record.path, "the archive ends before it");
    if (result < ARCHIVE_WARN)
        return refuse(checking, entry->record.path, "its header in the archive cannot be read");
    checking->progress.files += entry->record.type == 'f';
    if (checking->check->on_progress && checking->path_count % 64 == 0)
        checking->check->on_progress(checking->check->context, &checking->progress);
    return check_member(checking, member, entry);
}

static int check_entries(struct checking *checking)
{
    struct pack_entries *entries;
    const struct pack_entry *entry;
    int result = pack_entries_open(checking->pack, checking->variant, &entries, checking->error);
    if (result < 0)
        return result;
    while ((result = pack_entries_next(entries, &entry, checking->error)) == 1)
        if ((result = check_entry(checking, entry)) < 0)
            break;
    pack_entries_close(entries);
    return result;
}

static int check_variant(struct checking *checking)
{
    size_t count;
    const struct pack_variant *variant = &pack_variants(checking->pack, &count)[checking->variant];
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    int result = handle_parse(variant->handle, strlen(variant->handle), &handle, checking->error);
    if (result < 0)
        return result;
    checking->prefix = pack_member_prefix(handle);
    result = checking->prefix ? check_entries(checking) : refuse(checking, ".", "out of memory");
    forget_paths(checking);
    return result;
}

static int open_archive(struct checking *checking)
{
    const struct archive_library *library = &checking->libarchive;
    checking->archive = library->read_new();
    checking->decoder = pack_decoder_new();
    checking->block = malloc(PACK_FRAME_MAX);
    if (!checking->archive || !checking->decoder || !checking->block ||
        library->read_support_format_tar(checking->archive) < ARCHIVE_WARN)
        return error_set(checking->error, ENOMEM, "out of memory");
    /* It reads the first block at once. */
    int result = library->read_open(checking->archive, checking, NULL, on_read, NULL);
    if (checking->result < 0)
        return checking->result;
    return result < ARCHIVE_WARN
               ? error_set(checking->error, EBADMSG, "the archive cannot be read: %s",
                           library->error_string(checking->archive))
               : 0;
}

static void close_archive(struct checking *checking)
{
    if (checking->archive)
        checking->libarchive.read_free(checking->archive);
    pack_decoder_free(checking->decoder);
    free(checking->block);
    for (size_t i = 0; i < checking->file_count; i++)
        free(checking->files[i].path);
    free(checking->files);
    digest_free(&checking->digest);
}

/* Checks the table of frames, by which other programs find them. */
static int check_table(const struct pack *pack, int fd, struct pkgcache_error *error)
{
    uint32_t count;
    const struct pack_frame *frames = pack_frames(pack, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t numbers[2];
        uint64_t at = pack_size(pack) - SEEK_TABLE_FOOT - 8 * (uint64_t)(count - i);
        if (pread(fd, numbers, sizeof(numbers), (off_t)at) != sizeof(numbers))
            return error_set(error, EIO, "its table of frames cannot be read");
        if (le32toh(numbers[0]) != frames[i].stored || le32toh(numbers[1]) != frames[i].size)
            return error_set(error, EBADMSG, "its table of frames is damaged");
    }
    uint8_t foot[SEEK_TABLE_FOOT];
    uint32_t magic;
    if (pread(fd, foot, sizeof(foot), (off_t)(pack_size(pack) - sizeof(foot))) != sizeof(foot))
        return error_set(error, EIO, "its table of frames cannot be read");
    memcpy(&magic, foot + sizeof(foot) - sizeof(magic), sizeof(magic));
    return le32toh(magic) == SEEK_TABLE_MAGIC
               ? 0
               : error_set(error, EBADMSG, "its table of frames is damaged");
}

/* Nothing may follow the last variant. */
static int check_end(struct checking *checking)
{
    struct archive_entry *member;
    int result = checking->libarchive.read_next_header(checking->archive, &member);
    if (checking->result < 0)
        return checking->result;
    return result == ARCHIVE_EOF
               ? 0
               : error_set(checking->error, EBADMSG, "the archive has more members than the index");
}

int pack_check_run(const struct pack *pack, int fd, const struct pack_check *check,
                   struct pkgcache_error *error)
{
    struct checking checking = {.pack = pack, .check = check, .error = error};
    size_t count;
    pack_variants(pack, &count);
    checking.progress.variants = count;
    locale_t locale = newlocale(LC_CTYPE_MASK, "C", NULL);
    locale_t before = locale ? uselocale(locale) : (locale_t)0;
    int result = archive_load(&checking.libarchive, error);
    if (result == 0)
        result = check_table(pack, fd, error);
    if (result == 0)
        result = open_archive(&checking);
    for (size_t i = 0; i < count; i++) {
        checking.variant = i;
        if (result == 0)
            result = check_variant(&checking);
        checking.progress.variants_done++;
        check->on_variant(check->context, i, result < 0 ? error : NULL);
    }
    if (result == 0)
        result = check_end(&checking);
    close_archive(&checking);
    if (before)
        uselocale(before);
    if (locale)
        freelocale(locale);
    return result;
}
