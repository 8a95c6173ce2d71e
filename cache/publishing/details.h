/* What a scan does not tell of a file: what a link says, extended attributes, other names. */
#pragma once

#include "cache/packing/xattrs.h"

#include <sys/stat.h>

/** An entry of a scan, and what was found out about it. */
struct detail {
    struct manifest_record record; /* of the scan */
    int error;                     /* negative: it cannot be read; -ESTALE: it is not what the scan
                                      saw any more; 0 */
    char *target;                  /* of a symbolic link; else NULL */
    struct xattrs *xattrs;         /* of a file or directory; NULL: none */
    bool xattrs_unread;            /* they could not be read */
    nlink_t names;                 /* of a file or link */
    dev_t device;
    ino_t inode;
};

/**
 * Finds out the details of entries, many at once, since a source may be a server.
 *
 * @param root_fd       of the tree
 * @param sizes_may_lie its file system may say another size than there are bytes
 * @param details       with their records; their ends are details_clear's
 */
void details_find(int root_fd, bool sizes_may_lie, struct detail *details, size_t count);

/** Frees what was found. */
void details_clear(struct detail *details, size_t count);
