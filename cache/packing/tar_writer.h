/*
 * The tar members of a pack, which other programs read: libarchive makes them, frames take them.
 * A file whose bytes are in the pack already becomes a hard link, as a second name of a file does;
 * a record of its own in its header (TAR_EQUAL) tells one from the other.
 */
#pragma once

#include "cache/packing/archive.h"
#include "cache/packing/frames.h"
#include "cache/packing/xattrs.h"
#include "cache/util/text.h"

#include <sys/stat.h>
#include <time.h>

/* A pax record (POSIX.1-2017, pax, "pax Header Block"): GNU tar and libarchive skip comments,
 * while GNU tar warns of each keyword that it does not know. */
#define TAR_EQUAL_KEYWORD "comment"
#define TAR_EQUAL_VALUE   "pkgcache: equal to the file that it is linked to, but another file"

struct tar_writer;

struct tar_member {
    const char *path; /* in the archive */
    mode_t mode;      /* with the type */
    struct timespec mtime;
    uint64_t size;      /* of a file with bytes of its own */
    const char *target; /* of a symbolic link */
    const char *link;   /* the path in the archive of the file that this one is linked to; NULL */
    bool is_equal;      /* it is linked, and is another file */
    const struct xattrs *xattrs;
    const struct pack_extent *extents; /* of a file; without holes, one over all of it */
    size_t extent_count;
};

/** @param library outlives it @param ret freed with tar_writer_free @return 0 or -ENOMEM */
int tar_writer_new(const struct archive_library *library, struct frames *frames,
                   struct tar_writer **ret);

/**
 * Begins with a member, up to its first byte. One without bytes is complete.
 *
 * @return 0; -ENOMEM; or as frames_add
 */
int tar_writer_begin(struct tar_writer *writer, const struct tar_member *member);

/** Adds bytes of the extents, in order. @return as frames_add */
int tar_writer_add(struct tar_writer *writer, const void *bytes, size_t length);

/** Ends a member that has all bytes. @return as frames_add */
int tar_writer_end_member(struct tar_writer *writer);

/** Forgets a member whose bytes are not complete; the frames are taken back by the caller. @return
 * 0 or -ENOMEM */
int tar_writer_abandon(struct tar_writer *writer);

/** Ends the archive. @return as frames_add */
int tar_writer_end(struct tar_writer *writer);

/** NULL is allowed. */
void tar_writer_free(struct tar_writer *writer);

/** Makes the header of the first member, of 512 bytes. @param size of the index in bytes @return 0,
 * -ENOMEM, or -EFBIG */
int tar_make_index_header(const struct archive_library *library, uint64_t size,
                          char ret[static 512]);
