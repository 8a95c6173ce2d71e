/*
 * Operations as plain system calls: what the thread backend does with every operation, and the ring
 * with those that cannot block.
 */
#include "engine/io.h"

#include "engine/compiler.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static long call_once(const struct io_op *op)
{
    switch (op->kind) {
    case IO_OPEN:
        return openat(op->fd, op->name, op->flags, op->mode);
    case IO_READ:
        return pread(op->fd, op->data, op->length, (off_t)op->offset);
    case IO_WRITE:
        return pwrite(op->fd, op->data, op->length, (off_t)op->offset);
    case IO_CLOSE:
        return close(op->fd);
    }
    errno = ENOSYS;
    return -1;
}

void io_call(struct io_op *op)
{
    long result;
    do {
        result = call_once(op);
        /* close(2): the descriptor is gone also after EINTR */
    } while (result < 0 && errno == EINTR && op->kind != IO_CLOSE);
    op->result = result < 0 ? -errno : (int)result;
}

bool io_try(struct io_op *op)
{
    long result;
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
    op->result = result < 0 ? -errno : (int)result;
    return true;
}
