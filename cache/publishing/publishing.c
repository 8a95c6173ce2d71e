/* Making manifests: a scan, its records in order, and the details of each, batch by batch. */
#include "cache/publishing/publishing.h"

#include "cache/packing/index_writer.h"
#include "cache/publishing/details.h"
#include "cache/publishing/scan_order.h"
#include "cache/util/file.h"
#include "engine/compiler.h"
#include "engine/device.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum { BATCH = 1024, LEVEL = 3, PERMISSIONS = 01777 };

/* A file or link that may have other names. */
struct original {
    dev_t device;
    ino_t inode;
    char type;
    uint64_t number; /* of its first entry */
    uint8_t digest[PACK_DIGEST_BYTES];
};

struct making {
    const struct publishing *publishing;
    const char *root;
    int root_fd;
    struct publishing_manifest *manifest;
    struct pkgcache_error *error;
    struct scan_order order;
    struct index_writer *writer;
    uint64_t written;           /* entries */
    struct original *originals; /* a table with open addressing; `type` 0: empty */
    size_t original_count;
    size_t original_room; /* a power of 2; 0: no table yet */
};

/* --- Messages -------------------------------------------------------------------------------- */

static int fail(const struct making *making, const char *path, int code)
{
    const char *why = strerror(code);
    if (code == ESTALE)
        why = "it was changed while it was read: publish it when nobody writes to it";
    else if (code == E2BIG)
        why = "it has more than 4 MB of extended attributes";
    return error_set(making->error, code, "%s/%s: %s", making->root, path, why);
}

static int fail_output(const struct making *making, int code)
{
    return error_set(making->error, code, "%s: its manifest cannot be written: %s", making->root,
                     strerror(code));
}

static void warn(const struct making *making, const char *path, const char *text)
{
    CLEANUP_FREE char *whole = NULL;
    const struct publishing *publishing = making->publishing;
    if (publishing->on_warning && asprintf(&whole, "%s/%s", making->root, path) >= 0)
        publishing->on_warning(publishing->context, whole, text);
}

/* --- The scan -------------------------------------------------------------------------------- */

static int on_scan_progress(void *context, const struct copyengine_progress *progress)
{
    const struct publishing *publishing = ((const struct making *)context)->publishing;
    if (publishing->on_progress)
        publishing->on_progress(publishing->context, progress);
    return 0;
}

/* Scans into a file. */
static int scan(struct making *making, int fd)
{
    struct copyengine_job *job = NULL;
    const struct copyengine_scan what = {
        .size = sizeof(what),
        .relative = true,
        .dirfd = making->root_fd,
        .path = ".",
        .manifest_fd = fd,
        .on_progress = on_scan_progress,
        .progress_interval_ms = 100,
        .context = making,
    };
    int result = copyengine_submit_scan(making->publishing->engine, &what, &job);
    if (result < 0)
        return fail(making, "", -result);
    const struct copyengine_error *error = &copyengine_wait(job)->error;
    bool inside = error->path && strcmp(error->path, ".") != 0;
    if (error->code)
        result =
            error_set(making->error, error->code, "%s%s%s: %s%s%s", making->root, inside ? "/" : "",
                      inside ? error->path : "", error->explanation ? error->explanation : "",
                      error->explanation ? ": " : "", strerror(error->code));
    copyengine_job_free(job);
    return result;
}

/* --- Other names of files -------------------------------------------------------------------- */

/* Where a file or link is in the table, or is to be. */
static struct original *find_place(struct original *originals, size_t room, dev_t device,
                                   ino_t inode, char type)
{
    const uint64_t identity[] = {device, inode};
    size_t at = (size_t)text_key((const char *)identity, sizeof(identity));
    for (;; at++) {
        struct original *place = &originals[at & (room - 1)];
        if (!place->type ||
            (place->device == device && place->inode == inode && place->type == type))
            return place;
    }
}

static int make_room(struct making *making)
{
    if (2 * making->original_count < making->original_room)
        return 0;
    size_t room = making->original_room ? 2 * making->original_room : 64;
    struct original *larger = calloc(room, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    for (size_t i = 0; i < making->original_room; i++) {
        const struct original *old = &making->originals[i];
        if (old->type)
            *find_place(larger, room, old->device, old->inode, old->type) = *old;
    }
    free(making->originals);
    making->originals = larger;
    making->original_room = room;
    return 0;
}

/* Finds the first name of a file or link that has several. Returns 1; 0: this is it; or -ENOMEM. */
static int find_original(struct making *making, const struct detail *detail, uint64_t *ret)
{
    if (detail->names < 2)
        return 0;
    if (make_room(making) < 0)
        return -ENOMEM;
    struct original *place = find_place(making->originals, making->original_room, detail->device,
                                        detail->inode, detail->record.type);
    if (!place->type) {
        *place =
            (struct original){detail->device, detail->inode, detail->record.type, making->written};
        memcpy(place->digest, detail->record.digest, sizeof(place->digest));
        making->original_count++;
        return 0;
    }
    *ret = place->number;
    return memcmp(place->digest, detail->record.digest, sizeof(place->digest)) == 0 ? 1 : -ESTALE;
}

/* --- Entries --------------------------------------------------------------------------------- */

static int add_entry(struct making *making, const struct detail *detail)
{
    struct pack_entry entry = {.record = detail->record, .target = detail->target};
    const char *path = detail->record.path;
    entry.record.mode &= PERMISSIONS;
    int result = detail->record.error ? -detail->record.error : detail->error;
    if (result == 0 && detail->record.type == 'f' && !detail->record.has_digest)
        result = -ESTALE;
    if (result < 0)
        return fail(making, path, -result);
    if (detail->record.type == 'o') {
        warn(making, path, "not in the manifest: it is a socket, fifo or device");
        return 0;
    }
    if (detail->xattrs_unread)
        warn(making, path, "its extended attributes or ACLs cannot be read: they are lost");
    result = find_original(making, detail, &entry.original);
    entry.linked = result == 1;
    if (!entry.linked && detail->xattrs) {
        entry.xattrs = detail->xattrs->items;
        entry.xattr_count = detail->xattrs->count;
    }
    if (result >= 0)
        result = index_add_entry(making->writer, &entry);
    making->written++;
    return result < 0 ? fail(making, path, -result) : 0;
}

static int add_batch(struct making *making, size_t first, size_t count, struct detail *details)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = manifest_record_parse(making->order.records[first + i], &details[i].record);
    if (result < 0)
        return fail_output(making, -result);
    details_find(making->root_fd, device_files(making->root_fd).sizes_may_lie, details, count);
    for (size_t i = 0; i < count && result == 0; i++)
        result = add_entry(making, &details[i]);
    details_clear(details, count);
    return result;
}

static int add_entries(struct making *making)
{
    CLEANUP_FREE struct detail *details = calloc(BATCH, sizeof(*details));
    int result = 0;
    if (!details)
        return fail_output(making, ENOMEM);
    for (size_t i = 0; i < making->order.count && result == 0; i += BATCH)
        result = add_batch(making, i, MIN(making->order.count - i, (size_t)BATCH), details);
    return result;
}

static int write_entries(struct making *making, int scan_fd)
{
    struct published_head *head = &making->manifest->head;
    struct index_part part;
    int result = scan_order_open(scan_fd, PUBLISHED_ENTRIES_MAX, &making->order);
    if (result == -E2BIG)
        return error_set(making->error, E2BIG,
                         "%s: it has more than %d entries, which no manifest may have",
                         making->root, PUBLISHED_ENTRIES_MAX);
    if (result == 0)
        result = index_writer_new(making->manifest->fd, LEVEL, &making->writer);
    if (result < 0)
        return fail_output(making, -result);
    index_begin_variant(making->writer, 0);
    result = add_entries(making);
    if (result < 0)
        return result;
    result = index_end_entries(making->writer, &part);
    if (result < 0)
        return fail_output(making, -result);
    if (part.size > PUBLISHED_BYTES_MAX)
        return error_set(making->error, E2BIG,
                         "%s: its manifest has more than %d bytes, which none may have",
                         making->root, PUBLISHED_BYTES_MAX);
    head->variant.entry_count = part.entries;
    head->variant.file_count = part.files;
    head->variant.bytes = part.bytes;
    memcpy(head->variant.digest, part.digest, sizeof(part.digest));
    head->stored = part.stored;
    head->size = part.size;
    return 0;
}

/* --- What it is made of ---------------------------------------------------------------------- */

/* Takes down what the definitions are. */
static int take_definitions(struct making *making, const struct pkgcache_handle *handle)
{
    const struct publishing *publishing = making->publishing;
    struct published_head *head = &making->manifest->head;
    CLEANUP_CLOSE int package_fd = published_open_package(handle);
    int result = 0;
    head->definition_count = MIN(publishing->definition_count, (size_t)PUBLISHED_DEFINITIONS_MAX);
    for (size_t i = 0; i < head->definition_count && result == 0; i++)
        result = published_definition_find(package_fd, publishing->definitions[i],
                                           &head->definitions[i]);
    return result < 0 ? error_set(making->error, -result, "%s: its definition: %s", making->root,
                                  strerror(-result))
                      : 0;
}

/* Whether root and definitions are still what they were. */
static int check_unchanged(const struct making *making, const struct pkgcache_handle *handle)
{
    const struct published_head *head = &making->manifest->head;
    struct stat status;
    if (fstat(making->root_fd, &status) < 0)
        return fail(making, "", errno);
    struct published_times now = published_times_of(&status);
    bool same = published_times_equal(&now, &head->root);
    CLEANUP_CLOSE int package_fd = published_open_package(handle);
    for (size_t i = 0; i < head->definition_count && same; i++) {
        struct published_definition definition;
        same = published_definition_find(package_fd, head->definitions[i].name, &definition) == 0 &&
               published_definition_equal(&definition, &head->definitions[i]);
    }
    return same ? 0 : fail(making, "", ESTALE);
}

static int open_root(struct making *making, const struct pkgcache_handle *handle)
{
    struct publishing_manifest *manifest = making->manifest;
    making->root_fd = open(making->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (making->root_fd < 0 || fstat(making->root_fd, &manifest->root) < 0)
        return error_set(making->error, errno, "%s: %s", making->root, strerror(errno));
    manifest->head.root = published_times_of(&manifest->root);
    handle_to_json(&manifest->text, handle);
    size_t at = manifest->text.length + 1;
    text_append_byte(&manifest->text, '\0');
    text_append_string(&manifest->text, making->root);
    if (manifest->text.error)
        return fail_output(making, ENOMEM);
    manifest->head.variant.handle = manifest->text.bytes;
    manifest->head.variant.root = manifest->text.bytes + at;
    return take_definitions(making, handle);
}

int publishing_make(const struct publishing *publishing, const struct pkgcache_handle *handle,
                    const char *root, struct publishing_manifest *ret, struct pkgcache_error *error)
{
    const char *temporary = getenv("TMPDIR");
    const char *directory = temporary && *temporary ? temporary : "/tmp";
    struct making making = {
        .publishing = publishing, .root = root, .root_fd = -1, .manifest = ret, .error = error};
    *ret = (struct publishing_manifest)PUBLISHING_MANIFEST_INIT;
    CLEANUP_CLOSE int scan_fd = file_open_unnamed(directory);
    ret->fd = scan_fd < 0 ? -1 : file_open_unnamed(directory);
    if (scan_fd < 0 || ret->fd < 0)
        return error_set(error, -MIN(scan_fd, ret->fd), "no file can be made in %s: %s", directory,
                         strerror(-MIN(scan_fd, ret->fd)));
    int result = open_root(&making, handle);
    if (result == 0)
        result = scan(&making, scan_fd);
    if (result == 0)
        result = write_entries(&making, scan_fd);
    if (result == 0)
        result = check_unchanged(&making, handle);
    index_writer_free(making.writer);
    scan_order_free(&making.order);
    cleanup_close_fd(&making.root_fd);
    free(making.originals);
    return result;
}

void publishing_free(struct publishing_manifest *manifest)
{
    cleanup_close_fd(&manifest->fd);
    text_free(&manifest->text);
    *manifest = (struct publishing_manifest)PUBLISHING_MANIFEST_INIT;
}
