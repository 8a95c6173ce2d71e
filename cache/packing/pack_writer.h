/*
 * Making packs (pack.h). Each source file is opened once, many at a time; equal files are stored
 * once in the whole pack. The same trees make the same bytes, whatever the number of threads.
 */
#pragma once

#include "cache/store/handle.h"
#include "cache/util/error.h"

enum { PACK_LEVEL = 3, PACK_LEVEL_MIN = 1, PACK_LEVEL_MAX = 19 };

/** A variant that is to be packed. */
struct pack_source {
    const struct pkgcache_handle *handle;
    const char *root;          /* of its payload, an absolute path */
    const char *requires_json; /* as in struct pkgcache_variant; NULL: none */
};

struct pack_options {
    const char *path; /* of the pack; NULL: it goes to `fd` */
    int fd;
    int level;              /* of zstd, PACK_LEVEL_MIN to PACK_LEVEL_MAX */
    bool preserve_symlinks; /* as in pack_tree.h */
    unsigned in_flight;     /* files that are read at once, at most; 0: as it is best */
    uint64_t bytes_per_s;   /* of files that are read; 0: no limit */
    bool any_room;          /* do not ask whether the disk has room for the files uncompressed */
    void (*on_progress)(void *context, const struct pkgcache_progress *progress);
    void (*on_warning)(void *context, const char *path, const char *text); /* one at a time */
    /* All of the pack is on the disk, and gets its name when this returns. NULL: not asked for */
    void (*on_complete)(void *context);
    void *context;
};

struct pack_summary {
    uint64_t entries;
    uint64_t files;
    uint64_t bytes;      /* of all files */
    uint64_t equal;      /* files that are equal to another one in the pack */
    uint64_t pack_bytes; /* of the pack */
    uint8_t digest[16];  /* of the pack: pack_digest */
};

/**
 * Makes a pack. It gets its name when it is complete and on the disk; what had the name stays until
 * then, and if the call fails.
 *
 * @return 0; -ENOSPC; -ESTALE: a file changed twice while it was read; or -errno of the first file
 *         that cannot be read or packed. The message names it
 */
int pack_write(const struct pack_source *sources, size_t count, const struct pack_options *options,
               struct pack_summary *ret, struct pkgcache_error *error);
