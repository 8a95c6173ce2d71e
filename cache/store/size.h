/*
 * How large a payload is: counted once, and then kept in an extended attribute of its sidecar,
 * where it is at hand for whoever reads that, and goes when the slot goes. Where a file system has
 * no user attributes, or the sidecar is another user's, it is counted again each time. What was
 * kept is the word of whoever may write to the sidecar.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIZE_TEXT_MAX = 48 };

struct size {
    uint64_t bytes; /* of contents: holes, names and attributes do not count */
    uint64_t files; /* regular ones */
};

/**
 * Reads "BYTES FILES", two decimal numbers. Hostile until parsed: anybody may write attributes.
 *
 * @return 0, or -EBADMSG
 */
int size_parse(const char *text, size_t length, struct size *ret);

/** Keeps a size. @param sidecar_fd the sidecar @return 0 or -errno */
int size_keep(int sidecar_fd, const struct size *size);

/**
 * The size that was kept: the word of whoever may write to the sidecar, for people to look at.
 *
 * @return 0; -ENODATA, -EOPNOTSUPP: none; -EBADMSG: it is none, or the file system is not as large;
 *         or another -errno
 */
int size_kept(int sidecar_fd, struct size *ret);

/**
 * Counts. Symbolic links are not followed, and other file systems not entered. What cannot be read
 * does not count.
 *
 * @param dirfd where `name` starts
 * @param name  the payload
 * @return      0; 1: not all of it could be read; or -errno: the payload is gone, or is no
 * directory
 */
int size_count(int dirfd, const char *name, struct size *ret);

/**
 * The size of a payload: the one that was kept, or else counted now, and kept if that was all of
 * it.
 *
 * @param hash_fd the hash directory
 * @param name    of the slot
 * @return        0 or -errno
 */
int size_find(int hash_fd, const char *name, struct size *ret);

/**
 * The same for what is decided by it: what others may have written beside the sidecar is not
 * believed, but counted. So nobody's variants go because somebody else's pretends to be large.
 *
 * @param sidecar_fd of the slot
 */
int size_find_trusted(int hash_fd, const char *name, int sidecar_fd, struct size *ret);

/** The same as size_find by the payload's path, CACHE/NAME/VERSION/HASH4/INC. @return 0 or -errno
 */
int size_find_at(const char *root, struct size *ret);
