/*
 * Operations as plain system calls: what the thread backend does with every operation, and the ring
 * with those that cannot block.
 */
#include "engine/io.h"

#include "engine/compiler.h"
#include "engine/own_directory.h"
#include "engine/same_mount.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#ifndef SYS_cachestat /* kernel headers before 6.5; the number is the same on all architectures */
#define SYS_cachestat 451
#endif

typedef int64_t call(const struct io_op *op);

/* What openat2(2) does with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, one name after the other: the
 * path has no name that is "." or "..". */
static int open_by_names(const struct io_op *op)
{
    CLEANUP_CLOSE int directory_fd = -1;
    char name[NAME_MAX + 1];
    char target[1];
    int dirfd = op->fd;
    const char *rest = op->name;
    for (const char *slash; (slash = strchr(rest, '/')); rest = slash + 1) {
        if ((size_t)(slash - rest) >= sizeof(name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, rest, (size_t)(slash - rest));
        name[slash - rest] = '\0';
        int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int code = errno;
        if (fd < 0 && code == ENOTDIR && readlinkat(dirfd, name, target, sizeof(target)) >= 0)
            code = ELOOP;
        cleanup_close_fd(&directory_fd);
        directory_fd = dirfd = fd;
        errno = code;
        if (fd < 0)
            return -1;
    }
    return openat(dirfd, rest, (int)op->how->flags | O_NOFOLLOW);
}

static int64_t call_open(const struct io_op *op)
{
    if (!op->how)
        return op->one_mount ? same_mount_open(op->fd, op->name, op->flags, op->mode)
                             : openat(op->fd, op->name, op->flags, op->mode);
    long fd = syscall(SYS_openat2, op->fd, op->name, op->how, sizeof(*op->how));
    /* before Linux 5.6; and seccomp filters that have not heard of it */
    return fd < 0 && (errno == ENOSYS || errno == EPERM) ? open_by_names(op) : fd;
}

static int64_t call_read(const struct io_op *op)
{
    return pread(op->fd, op->data, op->length, (off_t)op->offset);
}

static int64_t call_write(const struct io_op *op)
{
    return pwrite(op->fd, op->data, op->length, (off_t)op->offset);
}

static int64_t call_close(const struct io_op *op)
{
    return close(op->fd);
}

static int64_t call_stat(const struct io_op *op)
{
    if (op->one_mount && op->name)
        return same_mount_statx(op->fd, op->name, STATX_BASIC_STATS | STATX_MNT_ID, op->data);
    return statx(op->fd, op->name ? op->name : "", op->flags | (op->name ? 0 : AT_EMPTY_PATH),
                 STATX_BASIC_STATS | STATX_MNT_ID, op->data);
}

static int64_t call_list(const struct io_op *op)
{
    return getdents64(op->fd, op->data, op->length);
}

static int64_t call_make_dir(const struct io_op *op)
{
    return mkdirat(op->fd, op->name, op->mode);
}

static int64_t call_make_link(const struct io_op *op)
{
    return symlinkat(op->other_name, op->fd, op->name);
}

static int64_t call_read_link(const struct io_op *op)
{
    return readlinkat(op->fd, op->name, op->data, op->length);
}

static int64_t call_hard_link(const struct io_op *op)
{
    return linkat(op->fd, op->name, op->other_fd, op->other_name, 0);
}

static int64_t call_remove(const struct io_op *op)
{
    return unlinkat(op->fd, op->name, op->flags);
}

static int64_t call_rename(const struct io_op *op)
{
    return renameat(op->fd, op->name, op->other_fd, op->other_name);
}

static int64_t call_set_mode(const struct io_op *op)
{
    if (!op->name)
        return fchmod(op->fd, op->mode);
    int result = own_directory_add_mode(op->fd, op->name, op->mode);
    errno = -result;
    return result < 0 ? -1 : 0;
}

static int64_t call_set_owner(const struct io_op *op)
{
    return op->name ? fchownat(op->fd, op->name, op->user, op->group, AT_SYMLINK_NOFOLLOW)
                    : fchown(op->fd, op->user, op->group);
}

static int64_t call_set_times(const struct io_op *op)
{
    return op->name ? utimensat(op->fd, op->name, op->data, AT_SYMLINK_NOFOLLOW)
                    : futimens(op->fd, op->data);
}

static int64_t call_seek(const struct io_op *op)
{
    return lseek(op->fd, (off_t)op->offset, op->flags);
}

static int64_t call_page_state(const struct io_op *op)
{
    struct {
        uint64_t offset;
        uint64_t length; /* 0: to the end */
    } all = {0};
    return syscall(SYS_cachestat, op->fd, &all, op->data, 0);
}

static int64_t call_flush(const struct io_op *op)
{
    const unsigned all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    return op->flags ? fdatasync(op->fd) : sync_file_range(op->fd, 0, 0, all);
}

static int64_t call_truncate(const struct io_op *op)
{
    return ftruncate(op->fd, (off_t)op->offset);
}

static int64_t call_allocate(const struct io_op *op)
{
    return fallocate(op->fd, op->flags, (off_t)op->offset, (off_t)op->length);
}

static int64_t call_clone(const struct io_op *op)
{
    return ioctl(op->other_fd, FICLONE, op->fd);
}

static int64_t call_copy_range(const struct io_op *op)
{
    loff_t from = (loff_t)op->offset;
    loff_t to = from;
    return copy_file_range(op->fd, &from, op->other_fd, &to, op->length, 0);
}

static int64_t call_send(const struct io_op *op)
{
    off_t from = (off_t)op->offset;
    return sendfile(op->other_fd, op->fd, &from, op->length);
}

static int64_t call_list_xattr(const struct io_op *op)
{
    return flistxattr(op->fd, op->data, op->length);
}

static int64_t call_get_xattr(const struct io_op *op)
{
    return fgetxattr(op->fd, op->name, op->data, op->length);
}

static int64_t call_set_xattr(const struct io_op *op)
{
    return fsetxattr(op->fd, op->name, op->data, op->length, op->flags);
}

static int64_t call_sync(const struct io_op *op)
{
    return syncfs(op->fd);
}

static call *const calls[IO_KIND_COUNT] = {
    [IO_OPEN] = call_open,
    [IO_READ] = call_read,
    [IO_WRITE] = call_write,
    [IO_CLOSE] = call_close,
    [IO_STAT] = call_stat,
    [IO_LIST] = call_list,
    [IO_MAKE_DIR] = call_make_dir,
    [IO_MAKE_LINK] = call_make_link,
    [IO_READ_LINK] = call_read_link,
    [IO_HARD_LINK] = call_hard_link,
    [IO_REMOVE] = call_remove,
    [IO_RENAME] = call_rename,
    [IO_SET_MODE] = call_set_mode,
    [IO_SET_OWNER] = call_set_owner,
    [IO_SET_TIMES] = call_set_times,
    [IO_SEEK] = call_seek,
    [IO_PAGE_STATE] = call_page_state,
    [IO_FLUSH] = call_flush,
    [IO_TRUNCATE] = call_truncate,
    [IO_ALLOCATE] = call_allocate,
    [IO_CLONE] = call_clone,
    [IO_COPY_RANGE] = call_copy_range,
    [IO_SEND] = call_send,
    [IO_LIST_XATTR] = call_list_xattr,
    [IO_GET_XATTR] = call_get_xattr,
    [IO_SET_XATTR] = call_set_xattr,
    [IO_SYNC] = call_sync,
};

void io_call(struct io_op *op)
{
    int64_t result;
    assert(op->kind < IO_KIND_COUNT);
    do {
        result = calls[op->kind](op);
        /* close(2): the descriptor is gone also after EINTR */
    } while (result < 0 && errno == EINTR && op->kind != IO_CLOSE);
    op->result = result < 0 ? -errno : result;
}

int64_t io_do(const struct io_port *port, struct io_op op)
{
    op.latency = IO_IMMEDIATE;
    enum io_answer answer = port->backend->submit(port->io, &op);
    assert(answer == IO_DONE);
    (void)answer;
    return op.result;
}

bool io_try(struct io_op *op)
{
    int64_t result;
    switch (op->kind) {
    case IO_OPEN: {
        struct open_how how = {.flags = (unsigned)op->flags};
        if (op->how)
            how = *op->how;
        how.resolve |= RESOLVE_CACHED | (op->one_mount ? RESOLVE_NO_XDEV : 0);
        if (op->flags & (O_CREAT | O_TRUNC)) /* RESOLVE_CACHED excludes them */
            return false;
        result = syscall(SYS_openat2, op->fd, op->name, &how, sizeof(how));
        if (result < 0 && errno != ENOENT && errno != ELOOP && errno != EACCES)
            return false; /* EAGAIN: not cached; ENOSYS, EINVAL: kernels before 5.12 */
        break;
    }
    case IO_READ: {
        struct iovec vector = {.iov_base = op->data, .iov_len = op->length};
        result = preadv2(op->fd, &vector, 1, (off_t)op->offset, RWF_NOWAIT);
        /* EAGAIN: not cached; EOPNOTSUPP: not on this file system. 0 may be the end; or the same as
         * EAGAIN (Linux 5.9 and 5.10: BUGS in preadv2(2)), and who can wait for it has to say. */
        if (result <= 0)
            return false;
        break;
    }
    default:
        io_call(op);
        return true;
    }
    op->result = result < 0 ? -errno : result;
    return true;
}
