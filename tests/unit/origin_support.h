/*
 * For the tests of supplies whose contents are in other files: the tree of supply_support.h, with
 * the same bytes in the files of a donor, and of a source.
 */
#pragma once

#include "tests/unit/supply_support.h"

#include "engine/io.h"

static struct {
    struct copyengine_entry entries[SUPPLIED_MAX]; /* without extents where there is a source */
    struct copyengine_origin origins[SUPPLIED_MAX];
    struct copyengine_origins given;
    struct copyengine_root cached;
    atomic_uint taken[3];
    atomic_uint calls[SUPPLIED_MAX]; /* of each entry */
} origins;

/* Makes the directories that a file is in, below a root. */
static inline void make_directories(const char *root, const char *path)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof(directory), "%s/%s", root, path);
    for (char *slash = directory; (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = '\0';
        mkdir(directory, 0755);
    }
}

/* Makes the file that an entry says, below a root. */
static inline void write_origin(const char *root, const struct copyengine_entry *entry)
{
    char path[PATH_MAX];
    make_directories(root, entry->path);
    snprintf(path, sizeof(path), "%s/%s", root, entry->path);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < entry->extent_count; i++) {
        const struct copyengine_extent *extent = &entry->extents[i];
        cr_assert_eq(pwrite(fd, tree.bytes + extent->part * tree.part_size + extent->part_offset,
                            extent->length, (off_t)extent->offset),
                     (ssize_t)extent->length);
    }
    cr_assert_eq(ftruncate(fd, (off_t)entry->size), 0);
}

enum { DONOR = 1, SOURCE = 2, PARTS = 4 };

/* Says where an entry is: in a donor and the source, or parts. Makes these files. */
static inline void add_origin(const struct copyengine_entry *entry, int where)
{
    struct copyengine_origin *origin = &origins.origins[entry - tree.entries];
    *origin = (struct copyengine_origin){0};
    if (where & DONOR) {
        origin->donor_root = &origins.cached;
        origin->donor = entry->path;
        write_origin("cached", entry);
    }
    if (where & SOURCE) {
        origin->source = entry->path;
        write_origin("source", entry);
    }
}

/* All files of the tree. */
static inline void add_origins(int where)
{
    for (size_t i = 0; i < tree.count; i++)
        if (tree.entries[i].type == COPYENGINE_FILE)
            add_origin(&tree.entries[i], where);
}

static inline void count_taken(void *context, size_t entry, enum copyengine_taken taken)
{
    (void)context;
    atomic_fetch_add(&origins.taken[taken], 1);
    atomic_fetch_add(&origins.calls[entry], 1);
}

static inline void origins_begin(size_t part_size)
{
    supplied_begin(part_size);
    memset(&origins, 0, sizeof(origins));
    cr_assert_eq(mkdir("cached", 0755), 0);
    cr_assert_eq(mkdir("source", 0755), 0);
    origins.cached = (struct copyengine_root){open("cached", O_PATH | O_CLOEXEC), "CACHED"};
    origins.given = (struct copyengine_origins){
        .size = sizeof(origins.given),
        .origins = origins.origins,
        .source_fd = open("source", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
}

static inline void origins_end(void)
{
    close(origins.cached.fd);
    close(origins.given.source_fd);
    supplied_end();
}

/* The supply of the tree, whose contents are in these files. */
static inline struct copyengine_supply supplied_with_origins(const char *destination)
{
    struct copyengine_supply supply = supplied(destination);
    memcpy(origins.entries, tree.entries, tree.count * sizeof(*tree.entries));
    for (size_t i = 0; i < tree.count; i++)
        if (origins.origins[i].source)
            origins.entries[i].extent_count = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(origins.taken); i++)
        atomic_store(&origins.taken[i], 0);
    for (size_t i = 0; i < tree.count; i++)
        atomic_store(&origins.calls[i], 0);
    origins.given.count = tree.count;
    supply.contents.entries = origins.entries;
    supply.origins = &origins.given;
    supply.on_file = count_taken;
    return supply;
}

/* In front of a backend: has FICLONE done what it does, also where the file system of the tests
 * cannot. */
static inline bool origins_clone(struct io_op *op)
{
    char data[65536];
    struct stat status;
    if (op->kind != IO_CLONE)
        return false;
    cr_assert_eq(fstat(op->fd, &status), 0);
    if (!S_ISREG(status.st_mode)) {
        op->result = -EINVAL;
        return true;
    }
    for (off_t at = 0; (at = lseek(op->fd, at, SEEK_DATA)) >= 0;) {
        ssize_t length = pread(op->fd, data, sizeof(data), at);
        cr_assert(length > 0);
        cr_assert_eq(pwrite(op->other_fd, data, (size_t)length, at), length);
        at += length;
    }
    cr_assert_eq(ftruncate(op->other_fd, status.st_size), 0);
    op->result = 0;
    return true;
}
