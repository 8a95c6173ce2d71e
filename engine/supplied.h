/*
 * What a supply is made of, as far as it was checked and begun. A unit is what a worker takes: a
 * part with all pieces of files that are in it; or, after the parts, some entries that have no
 * bytes.
 */
#pragma once

#include "engine/copyengine.h"
#include "engine/directory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SUPPLY_NONE = UINT32_MAX };

/** What is made in one go: extents of a file that follow each other, all in one part; or an entry
 * without bytes. */
struct supply_piece {
    uint32_t entry;
    uint32_t extent; /* the first; counted in the entry */
    uint32_t extent_count;
};

/** What is known of an entry beside what the caller says. */
struct supply_item {
    uint32_t directory;  /* that it is in: its number */
    uint32_t number;     /* of a directory: its number; of a file: its span, or SUPPLY_NONE */
    uint32_t first_link; /* an entry that is a hard link to it; SUPPLY_NONE: there is none */
    uint32_t next_link;  /* of a hard link: another one to the same */
    bool reused;         /* of a file: its donor had what it shall have, so it needs no part */
};

/** A directory of the tree. Its descriptor is closed when many others are open, and nobody uses it
 * just now: it can be opened again. */
struct supply_directory {
    struct directory *directory; /* NULL: it is complete */
    uint32_t entry;
    bool made;
    unsigned pins;                  /* who uses its descriptor */
    struct supply_directory *newer; /* among those that are open and not pinned */
    struct supply_directory *older;
};

/** A file with several pieces, which several threads may write to at once. */
struct supply_span {
    atomic_uint left; /* pieces that are not done */
    int fd;           /* -1: not made yet */
};

/** All but what is under the lock stays as it is from when the root is made. */
struct supply {
    const struct copyengine_entry *entries; /* the caller's, as is all up to `context` */
    size_t entry_count;
    int (*describe)(void *context, struct copyengine_job *job, struct copyengine_contents *ret,
                    const char **ret_explanation);
    int (*read)(void *context, struct copyengine_job *job, size_t part, void *buffer,
                const char **ret_explanation);
    void (*on_released)(void *context);
    void *context;
    bool waits;
    const struct copyengine_origins *given_origins; /* read when the contents are known */
    const struct copyengine_origin *origins;        /* as many as entries; NULL: none */
    int source_fd;                                  /* the caller's */
    void (*on_file)(void *context, size_t entry, enum copyengine_taken taken);
    bool has_sources;
    bool has_donors;
    struct device_files source_files;
    struct device_files donor_files;
    uint64_t donor_mount; /* what donors are on, as source_mount() says */
    struct supply_item *items;
    struct supply_piece *pieces;
    size_t *unit_ends; /* of each unit: the end of its pieces, which begin where the last ended */
    size_t unit_count;
    struct supply_directory *directories; /* each after the one that it is in; the root first */
    size_t directory_count;
    uint32_t root_children;
    struct supply_span *spans;
    size_t span_count;
    atomic_uint *undecided; /* of each part: files in it of which nobody knows yet whether they need
                               it, since they have donors */

    pthread_mutex_t lock; /* for making and opening directories, and files with several pieces */
    struct supply_directory *newest; /* of those that are open and not pinned */
    struct supply_directory *oldest;
    unsigned idle_count;
    size_t decided_parts; /* from the first on, those of which that is known */
};

/** Whether an entry is taken from another file, at first. */
static inline bool supply_has_origin(const struct supply *supply, size_t entry)
{
    const struct copyengine_entry *file = &supply->entries[entry];
    if (!supply->origins || file->type != COPYENGINE_FILE || file->size == 0)
        return false;
    const struct copyengine_origin *origin = &supply->origins[entry];
    return origin->source || (origin->donor && file->extent_count > 0);
}

/** The last part of an entry's path; "" for the root. */
static inline const char *supply_name(const struct copyengine_entry *entry)
{
    const char *slash = strrchr(entry->path, '/');
    return slash ? slash + 1 : entry->path;
}
