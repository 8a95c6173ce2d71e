/*
 * Operations as plain system calls: what the thread backend does with every operation, and the ring
 * with those that cannot block.
 */
#include "engine/io.h"

#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

typedef int64_t call(const struct io_op *op);

static int64_t call_open(const struct io_op *op)
{
    return openat(op->fd, op->name, op->flags, op->mode);
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
    return statx(op->fd, op->name ? op->name : "", op->flags | (op->name ? 0 : AT_EMPTY_PATH),
                 STATX_BASIC_STATS, op->data);
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

static int64_t call_set_mode(const struct io_op *op)
{
    return op->name ? fchmodat(op->fd, op->name, op->mode, 0) : fchmod(op->fd, op->mode);
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
    [IO_SET_MODE] = call_set_mode,
    [IO_SET_OWNER] = call_set_owner,
    [IO_SET_TIMES] = call_set_times,
    [IO_SEEK] = call_seek,
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
        struct open_how how = {.flags = (unsigned)op->flags, .resolve = RESOLVE_CACHED};
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
        if (result < 0) /* EAGAIN: not cached; EOPNOTSUPP: not on this file system */
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
