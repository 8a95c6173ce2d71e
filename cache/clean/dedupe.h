/* Sharing the blocks of two files with equal contents: FIDEDUPERANGE, ioctl_fideduperange(2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * Whether two files share all their blocks already, as FIEMAP tells (the kernel's
 * Documentation/filesystems/fiemap.rst), or have none to share: holes, and contents that lie
 * beside the inode.
 *
 * @param fd, other_fd regular files, open for reading
 * @return             1, 0, or -errno: the file system does not tell
 */
int dedupe_is_shared(int fd, int other_fd);

/** Whether the file system of two files can share blocks at all. Shares nothing. */
bool dedupe_is_supported(int fd, int other_fd);

/**
 * Has a file share the blocks of another one where their contents are equal. The kernel compares
 * them, with both locked: nothing that a program reads changes, and neither does a time.
 *
 * @param fd       open for reading; its blocks are kept
 * @param other_fd its blocks are given back. Open for writing, or this user's, or by root
 * @param size     of both files, in bytes
 * @return         the bytes from the beginning on that were found equal, less than `size` where
 *                 they differ; -EOPNOTSUPP: the file system cannot share blocks; or another -errno
 */
int64_t dedupe_share(int fd, int other_fd, uint64_t size);
