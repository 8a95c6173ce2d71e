/*
 * Names in a directory, but nothing that is mounted there: in a directory that others may write to,
 * somebody may have mounted a file system of their own (FUSE) whose server never answers. For both
 * libraries.
 */
#pragma once

#include "engine/compiler.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SAME_MOUNT_WHY "a file system is mounted there: unmount it"

/** How openat2(2) opens what is not mounted there. @param mode as of open(2) */
static inline struct open_how same_mount_how(int flags, mode_t mode)
{
    bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    return (struct open_how){
        .flags = (uint64_t)(unsigned)flags, .mode = makes ? mode : 0, .resolve = RESOLVE_NO_XDEV};
}

/**
 * Opens as openat(2) does, unless that leads to another mount. Kernels before 5.6 and sandboxes
 * cannot tell, and open what is there.
 *
 * @param mode only with O_CREAT or O_TMPFILE
 * @return     a descriptor; -1: errno says why (EXDEV: something is mounted there)
 */
static inline int same_mount_open(int dirfd, const char *name, int flags, mode_t mode)
{
    struct open_how how = same_mount_how(flags, mode);
    long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    return fd < 0 && (errno == ENOSYS || errno == EPERM) ? openat(dirfd, name, flags, mode)
                                                         : (int)fd;
}

/**
 * Looks at a name as statx(2) does without following a link, unless something is mounted there. The
 * kernel is first asked for what it knows itself (AT_STATX_DONT_SYNC): that waits for no server,
 * and is all that there is to know of a disk. Kernels before 5.8 do not tell what is mounted.
 *
 * @return 0; -1: errno says why (EXDEV: something is mounted there)
 */
static inline int same_mount_statx(int dirfd, const char *name, unsigned mask, struct statx *ret)
{
    int result = statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, mask, ret);
    if (result < 0)
        return result;
    if (ret->stx_attributes & STATX_ATTR_MOUNT_ROOT) {
        errno = EXDEV;
        return -1;
    }
    bool is_disk = ret->stx_dev_major != 0; /* else FUSE, NFS, Btrfs, ... */
    return is_disk ? 0 : statx(dirfd, name, AT_SYMLINK_NOFOLLOW, mask, ret);
}

static inline void same_mount_convert(const struct statx *status, struct stat *ret)
{
    *ret = (struct stat){
        .st_dev = makedev(status->stx_dev_major, status->stx_dev_minor),
        .st_ino = status->stx_ino,
        .st_nlink = status->stx_nlink,
        .st_mode = status->stx_mode,
        .st_uid = status->stx_uid,
        .st_gid = status->stx_gid,
        .st_rdev = makedev(status->stx_rdev_major, status->stx_rdev_minor),
        .st_size = (off_t)status->stx_size,
        .st_blksize = (blksize_t)status->stx_blksize,
        .st_blocks = (blkcnt_t)status->stx_blocks,
        .st_atim = {status->stx_atime.tv_sec, status->stx_atime.tv_nsec},
        .st_mtim = {status->stx_mtime.tv_sec, status->stx_mtime.tv_nsec},
        .st_ctim = {status->stx_ctime.tv_sec, status->stx_ctime.tv_nsec},
    };
}

/** The same as lstat(2) has it. @return 0; -1: errno says why (EXDEV: something is mounted there)
 */
static inline int same_mount_stat(int dirfd, const char *name, struct stat *ret)
{
    struct statx status;
    if (same_mount_statx(dirfd, name, STATX_BASIC_STATS, &status) == 0) {
        same_mount_convert(&status, ret);
        return 0;
    }
    return errno == ENOSYS || errno == EPERM ? fstatat(dirfd, name, ret, AT_SYMLINK_NOFOLLOW) : -1;
}
