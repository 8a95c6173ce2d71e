/* The extended attributes of a file that a copy keeps: those of users, and POSIX ACLs. */
#pragma once

#include "cache/pack/pack.h"

/** Sorted by name. One allocation. */
struct xattrs {
    size_t count;
    struct pack_xattr items[];
};

/**
 * Reads the extended attributes of an open file.
 *
 * @param ret freed with free(3); NULL: there are none
 * @return    0; -E2BIG: more than PACK_XATTRS_BYTES_MAX; -ENOMEM; or what listxattr(2) says. That a
 *            file system has none is no error
 */
int xattrs_read(int fd, struct xattrs **ret);

/** The same of a file or directory that was opened with O_PATH, which saves opening it. Needs
 * /proc.
 */
int xattrs_read_unopened(int path_fd, struct xattrs **ret);
