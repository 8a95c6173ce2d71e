/*
 * For the tests of supplies: a tree of entries, built up one by one, whose contents lie in parts of
 * a few bytes each; and what reads these parts.
 */
#pragma once

#include "engine/compiler.h"
#include "engine/copyengine.h"
#include "engine/digest.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

enum { SUPPLIED_MAX = 20000, SUPPLIED_EXTENTS_MAX = 40000, SUPPLIED_BYTES_MAX = 64 << 20 };

static struct supplied_tree {
    struct copyengine_entry entries[SUPPLIED_MAX];
    size_t count;
    struct copyengine_extent extents[SUPPLIED_EXTENTS_MAX];
    size_t extent_count;
    char *bytes; /* of all files, one after the other, in parts */
    size_t length;
    size_t part_size; /* of each part but the last */
    size_t part_bytes[SUPPLIED_EXTENTS_MAX];
    size_t part_count;
    size_t failing_part; /* counted from 1; 0: none */
    int failing_code;
    atomic_size_t reads;
    atomic_uint released;
    atomic_bool held; /* reads wait as long as it is true */
} tree;

static inline void supplied_begin(size_t part_size)
{
    free(tree.bytes);
    memset(&tree, 0, sizeof(tree));
    tree.part_size = part_size;
    tree.bytes = malloc(SUPPLIED_BYTES_MAX);
    tree.entries[tree.count++] = (struct copyengine_entry){
        .path = "", .type = COPYENGINE_DIRECTORY, .mode = 0755, .mtime = {1000000000, 5}};
}

static inline void supplied_end(void)
{
    for (size_t i = 1; i < tree.count; i++)
        free((char *)tree.entries[i].path);
    free(tree.bytes);
    tree.bytes = NULL;
    tree.count = 0;
}

static inline struct copyengine_entry *supplied_add(const char *path, enum copyengine_type type,
                                                    mode_t mode)
{
    struct copyengine_entry *entry = &tree.entries[tree.count++];
    cr_assert(tree.count <= SUPPLIED_MAX);
    *entry = (struct copyengine_entry){
        .path = strdup(path), .type = type, .mode = mode, .mtime = {1000000000, 7}};
    return entry;
}

/* Contents that differ from file to file and from byte to byte; no block is empty. */
static inline char supplied_byte(size_t number, uint64_t offset)
{
    return (char)(1 + (number * 31 + offset * 7 + offset / 251) % 255);
}

/* Adds data to an entry that was added last: extents, cut where parts end. */
static inline void supplied_add_data(struct copyengine_entry *entry, uint64_t offset, size_t length)
{
    if (!entry->extents)
        entry->extents = &tree.extents[tree.extent_count];
    cr_assert(tree.length + length <= SUPPLIED_BYTES_MAX);
    while (length > 0) {
        size_t part = tree.length / tree.part_size;
        size_t at = tree.length % tree.part_size;
        size_t fits = MIN(length, tree.part_size - at);
        for (size_t i = 0; i < fits; i++)
            tree.bytes[tree.length + i] = supplied_byte((size_t)(entry - tree.entries), offset + i);
        tree.extents[tree.extent_count++] = (struct copyengine_extent){offset, fits, part, at};
        cr_assert(tree.extent_count < SUPPLIED_EXTENTS_MAX);
        entry->extent_count++;
        tree.length += fits;
        offset += fits;
        length -= fits;
    }
    entry->size = MAX(entry->size, offset);
}

/* What a file's digest is to be. */
static inline void supplied_digest(struct copyengine_entry *entry)
{
    struct digest digest = {0};
    XXH128_hash_t hash;
    XXH128_canonical_t canonical;
    uint64_t at = 0;
    digest_begin(&digest, DIGEST_WITHOUT_EMPTY);
    for (size_t i = 0; i < entry->extent_count; i++) {
        const struct copyengine_extent *extent = &entry->extents[i];
        cr_assert_eq(digest_add_hole(&digest, extent->offset - at), 0);
        cr_assert_eq(digest_add(&digest,
                                tree.bytes + extent->part * tree.part_size + extent->part_offset,
                                extent->length),
                     0);
        at = extent->offset + extent->length;
    }
    cr_assert_eq(digest_add_hole(&digest, entry->size - at), 0);
    cr_assert_eq(digest_end(&digest, &hash), 0);
    digest_free(&digest);
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(entry->digest, canonical.digest, sizeof(entry->digest));
}

static inline struct copyengine_entry *supplied_add_file(const char *path, size_t length,
                                                         mode_t mode)
{
    struct copyengine_entry *entry = supplied_add(path, COPYENGINE_FILE, mode);
    supplied_add_data(entry, 0, length);
    supplied_digest(entry);
    return entry;
}

static inline int supplied_read(void *context, struct copyengine_job *job, size_t part,
                                void *buffer, const char **ret_explanation)
{
    (void)context;
    (void)job;
    atomic_fetch_add(&tree.reads, 1);
    while (atomic_load(&tree.held))
        usleep(1000);
    if (part + 1 == tree.failing_part) {
        *ret_explanation = "the test says so";
        return -tree.failing_code;
    }
    memcpy(buffer, tree.bytes + part * tree.part_size, tree.part_bytes[part]);
    return 0;
}

static inline void supplied_released(void *context)
{
    (void)context;
    atomic_fetch_add(&tree.released, 1);
}

static inline struct copyengine_supply supplied(const char *destination)
{
    tree.part_count = (tree.length + tree.part_size - 1) / tree.part_size;
    for (size_t part = 0; part < tree.part_count; part++) {
        size_t bytes = MIN(tree.part_size, tree.length - part * tree.part_size);
        if (tree.part_bytes[part] != bytes) /* jobs may be reading it */
            tree.part_bytes[part] = bytes;
    }
    return (struct copyengine_supply){
        .size = sizeof(struct copyengine_supply),
        .source = "SUPPLY",
        .contents = {tree.entries, tree.count, tree.part_bytes, tree.part_count},
        .read = supplied_read,
        .on_released = supplied_released,
        .destination_dirfd = AT_FDCWD,
        .destination = destination,
    };
}

/* What is wrong with what was made of an entry; "": nothing. */
static inline const char *supplied_difference(const struct copyengine_entry *entry,
                                              const char *root)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    struct stat status;
    size_t number = (size_t)(entry - tree.entries);
    if (entry->type == COPYENGINE_HARD_LINK)
        number = entry->linked;
    const struct copyengine_entry *self = &tree.entries[number];
    static const mode_t types[] = {S_IFDIR, S_IFREG, S_IFLNK};
    snprintf(path, sizeof(path), "%s/%s", root, entry->path);
    if (lstat(path, &status) < 0)
        return strerror(errno);
    if ((status.st_mode & S_IFMT) != types[self->type])
        return "type";
    if (status.st_mtim.tv_sec != self->mtime.tv_sec ||
        status.st_mtim.tv_nsec != self->mtime.tv_nsec)
        return "time";
    if (self->type == COPYENGINE_SYMLINK) {
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[MAX(length, 0)] = '\0';
        return strcmp(target, self->target) == 0 ? "" : "target";
    }
    if ((status.st_mode & 07777) != self->mode)
        return "mode";
    if (self->type != COPYENGINE_FILE)
        return "";
    if ((uint64_t)status.st_size != self->size)
        return "size";
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return self->mode & S_IRUSR ? "open" : "";
    for (size_t i = 0; i < self->extent_count; i++) {
        const struct copyengine_extent *extent = &self->extents[i];
        CLEANUP_FREE char *data = malloc(extent->length);
        if (pread(fd, data, extent->length, (off_t)extent->offset) != (ssize_t)extent->length ||
            memcmp(data, tree.bytes + extent->part * tree.part_size + extent->part_offset,
                   extent->length) != 0)
            return "contents";
    }
    return "";
}

static inline void supplied_expect(const char *root)
{
    for (size_t i = 0; i < tree.count; i++) {
        const char *difference = supplied_difference(&tree.entries[i], root);
        cr_assert_str_empty(difference, "%s: %s is wrong", tree.entries[i].path, difference);
    }
}
