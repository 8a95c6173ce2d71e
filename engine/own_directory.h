/* Directories that this user has closed to itself, and has to write to. For both libraries. */
#pragma once

#include "engine/compiler.h"
#include "engine/same_mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* Linux 6.6; the same number on all architectures but alpha */
#endif

/* For descriptors of O_PATH, which fchmod(2) refuses; others need a right to read the directory. */
static inline int own_directory_set_mode(int fd, mode_t mode)
{
    char path[32];
    if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM) /* EPERM is also what a sandbox says of new calls */
        return -errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return chmod(path, mode) < 0 ? -errno : 0;
}

/**
 * Adds permissions to a directory of this user's. Whoever may write where its name is can exchange
 * the name for a link at any moment. So the directory is opened, looked at, and changed through
 * that descriptor; a link, a file, and what is another user's are left alone.
 *
 * @param dirfd where `name` starts
 * @param mode  the bits to add
 * @return      0; -EACCES: it is another user's; -ENOTDIR: it is no directory; or another -errno
 */
static inline int own_directory_add_mode(int dirfd, const char *name, mode_t mode)
{
    struct stat status;
    CLEANUP_CLOSE int fd =
        same_mount_open(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    return status.st_uid == geteuid() ? own_directory_set_mode(fd, (status.st_mode & 07777) | mode)
                                      : -EACCES;
}
