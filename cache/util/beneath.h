/* Opening what is in a tree that others may be changing, and nothing outside of it. */
#pragma once

/**
 * Opens a file or directory below a directory, whatever became of the names meanwhile: no symbolic
 * link is followed, and no `..` leads out. With O_NONBLOCK, a lease on it is waited for, as
 * file_open does.
 *
 * @param path  relative to root_fd; its names are none of them `..`
 * @param flags of open(2); O_CLOEXEC and O_NOFOLLOW are added
 * @return      a descriptor; or -errno: -ELOOP or -ENOTDIR where a link is now
 */
int beneath_open(int root_fd, const char *path, int flags);

/** The same, and nothing that is mounted there: whoever mounted it (FUSE) may never answer. Kernels
 * before 5.6 and sandboxes cannot tell what is mounted. @return also -EXDEV: something is */
int beneath_open_same_mount(int root_fd, const char *path, int flags);
