/* Files that are sorted by their digests, a range of digests at a time. */
#include "cache/clean/equal_files.h"

#include "cache/store/lookup.h"
#include "cache/store/manifest_reader.h"
#include "cache/store/sidecar.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/tree.h"
#include "cache/util/beneath.h"
#include "cache/util/names.h"

#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

enum {
    SLOTS_MAX = 1 << 24,
    SLOTS_OPEN_MAX = 64, /* each with its payload and its manifest */
};

struct slot {
    struct pkgcache_handle *handle;
    char name[SLOT_NAME_MAX];
};

/* What is open of a slot, for the next file in it. */
struct open_slot {
    uint32_t slot;
    int payload_fd; /* -1: the place is free */
    int manifest_fd;
};

struct equal_files {
    const struct pkgcache *cache;
    int cancel_fd;
    size_t files_max;
    struct slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    struct open_slot open[SLOTS_OPEN_MAX]; /* the place of a slot is its number modulo this */
    struct manifest_reader reader;
    /* The pass under way: digests whose first half is from `from` to `to`, both included. */
    uint64_t from, to;
    struct equal_file *files;
    size_t count;
    size_t capacity;
};

/* --- The slots ------------------------------------------------------------------------------- */

static int add_slot(struct equal_files *files, struct pkgcache_handle **handle, const char *name)
{
    if (files->slot_count == files->slot_capacity) {
        size_t capacity = MAX(2 * files->slot_capacity, (size_t)64);
        void *slots = realloc(files->slots, capacity * sizeof(*files->slots));
        if (!slots)
            return -ENOMEM;
        files->slots = slots;
        files->slot_capacity = capacity;
    }
    if (files->slot_count == SLOTS_MAX)
        return -E2BIG;
    struct slot *slot = &files->slots[files->slot_count++];
    slot->handle = STEAL(*handle);
    strcpy(slot->name, name);
    return 0;
}

static int find_slot(struct equal_files *files, int hash_fd, const char *path, const char *file)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    char name[SLOT_NAME_MAX];
    struct slot_view view;
    if (!slot_name_of_sidecar(file, name) || sidecar_read(hash_fd, file, &sidecar, NULL) < 0 ||
        strcmp(sidecar.handle->relative_path, path) != 0)
        return 0;
    slot_view_read(hash_fd, name, sidecar.fd, &view);
    return view.status == PKGCACHE_FOUND ? add_slot(files, &sidecar.handle, name) : 0;
}

static int find_slots(void *context, int hash_fd, const char *path)
{
    struct equal_files *files = context;
    struct names names;
    if (cache_is_cancelled(files->cancel_fd))
        return -ECANCELED;
    int result = names_open(&names, hash_fd);
    for (const char *file; result == 0 && (file = names_next(&names));)
        result = find_slot(files, hash_fd, path, file);
    names_close(&names);
    return result;
}

int equal_files_find(const struct pkgcache *cache, int cancel_fd, size_t files_max,
                     struct equal_files **ret)
{
    CLEANUP_EQUAL_FILES struct equal_files *files = calloc(1, sizeof(*files));
    if (!files)
        return -ENOMEM;
    files->cache = cache;
    files->cancel_fd = cancel_fd;
    files->files_max = files_max;
    for (size_t i = 0; i < SLOTS_OPEN_MAX; i++)
        files->open[i] = (struct open_slot){.payload_fd = -1, .manifest_fd = -1};
    int result = tree_visit(cache, find_slots, files);
    if (result == 0)
        *ret = STEAL(files);
    return result;
}

static void close_slot(struct open_slot *open)
{
    cleanup_close_fd(&open->payload_fd);
    cleanup_close_fd(&open->manifest_fd);
    *open = (struct open_slot){.payload_fd = -1, .manifest_fd = -1};
}

/* Opens a slot's payload and manifest, unless they are open. Returns 0 or -errno. */
static int open_slot(struct equal_files *files, uint32_t number, uint64_t *ret_offset,
                     struct open_slot **ret)
{
    const struct slot *slot = &files->slots[number];
    struct open_slot *open = &files->open[number % SLOTS_OPEN_MAX];
    struct slot_manifest_payload payload;
    *ret = open;
    if (open->payload_fd >= 0 && open->slot == number && !ret_offset)
        return 0;
    close_slot(open);
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(files->cache, slot->handle, false);
    if (hash_fd < 0)
        return hash_fd;
    int result = slot_manifest_stat_payload(hash_fd, slot->name, &payload);
    if (result < 0)
        return result;
    uint64_t offset = 0;
    open->slot = number;
    open->payload_fd = names_open_directory(hash_fd, slot->name);
    result = open->payload_fd < 0 ? -errno : 0;
    if (result == 0) {
        result = slot_manifest_open(files->cache, slot->handle, slot->name, &payload, &offset);
        open->manifest_fd = MAX(result, -1);
    }
    if (result < 0) {
        close_slot(open);
        return result;
    }
    if (ret_offset)
        *ret_offset = offset;
    return 0;
}

/* --- Their files ----------------------------------------------------------------------------- */

static bool is_in_range(const struct equal_files *files, const struct equal_file *file)
{
    return file->digest[0] >= files->from && file->digest[0] <= files->to;
}

/* Has the pass end with earlier digests, until there is room. It stays full where so many files
 * have equal contents: the others are left alone. */
static void halve(struct equal_files *files)
{
    while (files->count == files->files_max && files->from < files->to) {
        size_t kept = 0;
        files->to = files->from + (files->to - files->from) / 2;
        for (size_t i = 0; i < files->count; i++)
            if (is_in_range(files, &files->files[i]))
                files->files[kept++] = files->files[i];
        files->count = kept;
    }
}

static int add_file(struct equal_files *files, const struct equal_file *file)
{
    if (files->count == files->files_max)
        halve(files);
    if (files->count == files->files_max || !is_in_range(files, file))
        return 0;
    if (files->count == files->capacity) {
        size_t capacity = MIN(MAX(2 * files->capacity, (size_t)4096), files->files_max);
        void *all = realloc(files->files, capacity * sizeof(*files->files));
        if (!all)
            return -ENOMEM;
        files->files = all;
        files->capacity = capacity;
    }
    assert(files->count < files->capacity);
    files->files[files->count++] = *file;
    return 0;
}

static struct equal_file file_of_record(const struct manifest_record *record, uint32_t slot,
                                        uint64_t offset)
{
    struct equal_file file = {.slot = slot, .offset = offset};
    memcpy(file.digest, record->digest, sizeof(file.digest));
    file.digest[0] = be64toh(file.digest[0]);
    file.digest[1] = be64toh(file.digest[1]);
    return file;
}

/* Adds the files of a slot. Of one that cannot be read, and of half a manifest, what there is. */
static int add_files(struct equal_files *files, uint32_t slot)
{
    struct open_slot *open;
    struct manifest_record record;
    uint64_t offset;
    if (open_slot(files, slot, &offset, &open) < 0 ||
        manifest_reader_open(&files->reader, open->manifest_fd, offset) < 0)
        return 0;
    int result = 0;
    while (result == 0) {
        offset = manifest_reader_at(&files->reader);
        if (manifest_reader_next(&files->reader, &record) != 1)
            break;
        if (record.type != 'f' || !record.has_digest || record.size == 0)
            continue;
        struct equal_file file = file_of_record(&record, slot, offset);
        if (is_in_range(files, &file))
            result = add_file(files, &file);
    }
    return result;
}

static int compare_files(const void *left, const void *right)
{
    const struct equal_file *a = left;
    const struct equal_file *b = right;
    for (int i = 0; i < 2; i++)
        if (a->digest[i] != b->digest[i])
            return a->digest[i] < b->digest[i] ? -1 : 1;
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool has_digest_of(const struct equal_file *a, const struct equal_file *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* One pass: from `from` to at most `to`, which receives how far it came. */
static int visit_range(struct equal_files *files,
                       int (*visit)(void *context, const struct equal_file *equal, size_t count),
                       void *context)
{
    int result = 0;
    files->count = 0;
    for (size_t i = 0; i < files->slot_count && result == 0; i++)
        result = cache_is_cancelled(files->cancel_fd) ? -ECANCELED : add_files(files, (uint32_t)i);
    if (files->count > 0)
        qsort(files->files, files->count, sizeof(*files->files), compare_files);
    for (size_t at = 0, end; at < files->count && result == 0; at = end) {
        for (end = at + 1; end < files->count; end++)
            if (!has_digest_of(&files->files[at], &files->files[end]))
                break;
        if (end - at > 1)
            result = visit(context, &files->files[at], end - at);
    }
    return result;
}

int equal_files_visit(struct equal_files *files,
                      int (*visit)(void *context, const struct equal_file *equal, size_t count),
                      void *context)
{
    uint64_t start = 0;
    if (getrandom(&start, sizeof(start), GRND_NONBLOCK) != (ssize_t)sizeof(start))
        start = 0;
    int result = 0;
    bool around = false;
    files->from = start;
    do {
        const uint64_t wanted = around ? start - 1 : UINT64_MAX;
        files->to = wanted;
        result = visit_range(files, visit, context);
        bool reached = files->to == wanted;
        files->from = reached ? 0 : files->to + 1;
        if (reached && (around || start == 0))
            return result;
        around |= reached;
    } while (result == 0);
    return result;
}

int equal_file_open(struct equal_files *files, const struct equal_file *file,
                    char path[static PATH_MAX], struct stat *ret_status)
{
    const struct slot *slot = &files->slots[file->slot];
    struct open_slot *open;
    struct manifest_record record;
    int result = open_slot(files, file->slot, NULL, &open);
    if (result < 0)
        return result;
    manifest_reader_seek(&files->reader, open->manifest_fd, file->offset);
    if (manifest_reader_next(&files->reader, &record) != 1)
        return -EBADMSG;
    int length =
        snprintf(path, PATH_MAX, "%s/%s/%s", slot->handle->relative_path, slot->name, record.path);
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    CLEANUP_CLOSE int fd =
        beneath_open_same_mount(open->payload_fd, record.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    if (fstat(fd, ret_status) < 0)
        return -errno;
    return S_ISREG(ret_status->st_mode) ? steal_fd(&fd) : -EBADMSG;
}

void equal_files_free(struct equal_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < SLOTS_OPEN_MAX; i++)
        close_slot(&files->open[i]);
    for (size_t i = 0; i < files->slot_count; i++)
        handle_free(files->slots[i].handle);
    free(files->slots);
    free(files->files);
    free(files);
}
