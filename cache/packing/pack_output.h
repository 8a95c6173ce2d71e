/*
 * Where a pack goes: frames into files that have no name, then all of it into one that gets its
 * name when it is complete. Who is interrupted leaves nothing, but on file systems without
 * O_TMPFILE the file under its temporary name.
 */
#pragma once

#include "cache/packing/frames.h"
#include "cache/util/error.h"

/** Starts as PACK_OUTPUT_INIT. */
struct pack_output {
    const char *path; /* NULL: bytes go to fd */
    int fd;           /* that the pack goes to; the caller's if there is no path */
    int spool;        /* the frames with files */
    int index;        /* the frames with entries */
    char *aside;      /* the temporary name; NULL: it has none now */
    void (*on_complete)(void *context); /* called before it gets its name; may be NULL */
    void *context;
};

#define PACK_OUTPUT_INIT ((struct pack_output){.fd = -1, .spool = -1, .index = -1})

/**
 * Opens the files for frames.
 *
 * @param path of the pack; NULL: it goes to `fd`, and frames into $TMPDIR
 * @return     0; -EISDIR, -EINVAL: what is there is no regular file; or what open says
 */
int pack_output_open(const char *path, int fd, struct pack_output *ret,
                     struct pkgcache_error *error);

/**
 * Checks that there is room where the frames go.
 *
 * @return 0; -ENOSPC: less than `bytes` are free. A file system that does not tell has room
 */
int pack_output_check_room(const struct pack_output *output, uint64_t bytes,
                           struct pkgcache_error *error);

/**
 * Joins all parts, flushes them to disk, and gives them the name, in place of what had it.
 *
 * @param head        the first frames
 * @param sizes       of all frames, in the order of the file
 * @param ret_bytes   of the whole pack
 * @return            0 or -errno; what had the name is untouched then
 */
int pack_output_finish(struct pack_output *output, const void *head, size_t head_length,
                       const struct frames_size *const sizes[2], const size_t counts[2],
                       uint64_t *ret_bytes, struct pkgcache_error *error);

/** Closes all of it. */
void pack_output_close(struct pack_output *output);

/** The temporary name of a pack made by this process, allocated; NULL: no memory. */
char *pack_output_temporary_name(const char *path);
