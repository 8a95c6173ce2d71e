/* Directories of the source: how copies and scans open them. */
#include "engine/source.h"

#include "engine/attr.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

int64_t source_open_directory(const struct io_port *port, int dirfd, const char *name, int flags,
                              bool one_mount)
{
    return io_do(port, (struct io_op){.kind = IO_OPEN,
                                      .fd = dirfd,
                                      .name = name,
                                      .one_mount = one_mount,
                                      .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags});
}

uint64_t source_mount(const struct statx *status)
{
    return status->stx_mask & STATX_MNT_ID ? status->stx_mnt_id
                                           : makedev(status->stx_dev_major, status->stx_dev_minor);
}

bool source_stat_directory(const struct io_port *port, struct directory *directory)
{
    struct statx status;
    int64_t result =
        io_do(port, (struct io_op){.kind = IO_STAT, .fd = directory->source_fd, .data = &status});
    if (result < 0) {
        job_fail(directory->job, "stat", JOB_SOURCE, directory, NULL, (int)-result);
        return false;
    }
    directory->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    directory->inode = status.stx_ino;
    const struct directory *parent = directory->parent;
    directory->files = parent && parent->device == directory->device
                           ? parent->files
                           : device_files(directory->source_fd);
    directory->mount = source_mount(&status);
    directory->attributes = (struct attributes){
        .mode = attr_permissions(directory->job, status.stx_mode),
        .user = status.stx_uid,
        .group = status.stx_gid,
        .mtime = {.tv_sec = status.stx_mtime.tv_sec, .tv_nsec = status.stx_mtime.tv_nsec},
    };
    return true;
}
