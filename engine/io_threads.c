/*
 * The thread backend: every operation is a plain system call, done when submit returns. What runs
 * at once, runs on as many threads. Serves where io_uring is switched off or too old.
 */
#include "engine/compiler.h"
#include "engine/io.h"
#include "engine/wake.h"

struct io {
    int wake_fd;
};

static int threads_create(unsigned entries, const struct io_buffers *buffers, struct io **ret)
{
    (void)entries;
    (void)buffers;
    struct io *io = malloc(sizeof(*io));
    if (!io)
        return -ENOMEM;
    io->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (io->wake_fd < 0) {
        int code = errno;
        free(io);
        return -code;
    }
    *ret = io;
    return 0;
}

static enum io_answer threads_submit(struct io *io, struct io_op *op)
{
    (void)io;
    io_call(op);
    return IO_DONE;
}

static struct io_op *threads_reap(struct io *io, uint64_t wait_ns)
{
    if (wait_ns > 0)
        wake_wait(io->wake_fd, wait_ns);
    return NULL;
}

static void threads_wake(struct io *io)
{
    eventfd_write(io->wake_fd, 1);
}

static void threads_destroy(struct io *io)
{
    close(io->wake_fd);
    free(io);
}

const struct io_backend io_threads_backend = {
    .name = "threads",
    .create = threads_create,
    .submit = threads_submit,
    .reap = threads_reap,
    .wake = threads_wake,
    .destroy = threads_destroy,
};
