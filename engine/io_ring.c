/*
 * The ring backend. In an io_uring(7) are queued operations that would block, and those that the
 * kernel carries out at once but for less than a system call each when it gets many together: opens
 * of what is cached, closes. All others are plain calls, because the kernel would hand them to its
 * worker threads, which costs more than doing them.
 *
 * One ring per thread, made when the first operation is queued. A read of an eventfd stays queued
 * beside the operations, so that other threads can end a sleep. When a ring cannot be made, or
 * io_uring_enter(2) fails for good, the operations that the kernel has not taken, and all later
 * ones, are plain calls: slower, and right.
 */
#include "engine/assertion.h"
#include "engine/compiler.h"
#include "engine/io.h"
#include "engine/same_mount.h"
#include "engine/wake.h"

#include <liburing.h>

/*
 * The thread sanitizer takes a descriptor for the same file until it sees a close(2) of it. The
 * kernel closes what a ring is given, so we report that (compiler-rt,
 * sanitizer/linux_syscall_hooks.h).
 */
#ifdef THREAD_SANITIZER
void __sanitizer_syscall_pre_impl_close(long fd); /* NOLINT(bugprone-reserved-identifier,cert-*) */
#define REPORT_CLOSE_TO_SANITIZER(fd) __sanitizer_syscall_pre_impl_close(fd)
#else
#define REPORT_CLOSE_TO_SANITIZER(fd) ((void)0)
#endif

enum {
    REGISTER_AFTER = 512,     /* so many reads and writes the buffers are registered */
    IDLE_CHECKS_MAX = 16,     /* for completions, in vain; then what is queued is submitted, too */
    KERNEL_THREADS_MAX = 512, /* of one ring, for operations that block: opens */
    FAILED_CHECK_US = 1000,   /* between two checks of a ring that failed */
};

enum ring_state {
    RING_NOT_MADE,
    RING_READY,
    RING_FAILED,
};

struct io {
    struct io_uring ring;
    enum ring_state state;
    bool buffers_asked; /* whether they can be */
    bool buffers_registered;
    bool wake_armed; /* a read of wake_fd is with the ring */
    unsigned entries;
    unsigned data_count;  /* reads and writes until the buffers are registered */
    unsigned idle_checks; /* for completions, in vain, since operations were submitted */
    unsigned in_flight;   /* operations queued and not reaped */
    int wake_fd;
    eventfd_t wake_count;
    const struct io_buffers *buffers;
    struct io_op **returned; /* done by plain calls after the ring failed, to be reaped */
    unsigned returned_count;
};

/*
 * Makes a ring with those flags, of all that make one cheaper, that this kernel knows: 5.18 has
 * SUBMIT_ALL, 5.19 COOP_TASKRUN, 6.0 SINGLE_ISSUER (io_uring_setup(2)). Not DEFER_TASKRUN of 6.1:
 * what is complete then shows only in io_uring_enter(2), so of a ring that fails nothing more could
 * be reaped; and it was no faster.
 */
static int ring_init(struct io_uring *ring, unsigned entries)
{
    static const unsigned cheaper[] = {
        IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SINGLE_ISSUER,
    };
    int result = -EINVAL;
    for (size_t known = ARRAY_LENGTH(cheaper) + 1; known-- > 0 && result == -EINVAL;) {
        unsigned flags = IORING_SETUP_CLAMP;
        for (size_t i = 0; i < known; i++)
            flags |= cheaper[i];
        result = io_uring_queue_init(entries, ring, flags);
    }
    return result;
}

int io_ring_probe(const char **ret_why)
{
    static const int needed[] = {IORING_OP_OPENAT, IORING_OP_OPENAT2, IORING_OP_CLOSE,
                                 IORING_OP_READ, IORING_OP_WRITE};
    struct io_uring ring;
    int result = ring_init(&ring, 2);
    if (result < 0) {
        *ret_why = result == -ENOSYS ? "this kernel has no io_uring"
                   : result == -EPERM
                       ? "io_uring is switched off (sysctl kernel.io_uring_disabled, "
                         "or a seccomp filter)"
                       : "io_uring_setup failed";
        return result;
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    for (size_t i = 0; i < ARRAY_LENGTH(needed) && result == 0; i++)
        if (!probe || !io_uring_opcode_supported(probe, needed[i])) {
            *ret_why =
                "this kernel's io_uring cannot open, read, write and close files (Linux 5.6)";
            result = -EOPNOTSUPP;
        }
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return result;
}

static int ring_create(unsigned entries, const struct io_buffers *buffers, struct io **ret)
{
    struct io *io = calloc(1, sizeof(*io));
    if (!io)
        return -ENOMEM;
    io->entries = entries;
    io->buffers = buffers;
    assert(entries > 0 && buffers->count <= IO_BUFFERS_MAX);
    io->wake_fd = eventfd(0, EFD_CLOEXEC);
    io->returned = calloc(entries, sizeof(*io->returned));
    if (io->wake_fd < 0 || !io->returned) {
        int code = io->returned ? errno : ENOMEM;
        cleanup_close_fd(&io->wake_fd);
        free(io->returned);
        free(io);
        return -code;
    }
    *ret = io;
    return 0;
}

/*
 * Registers the buffers, if the limit of locked memory allows it. The kernel has to find a page for
 * each byte of them, and clears it: that takes milliseconds, and saves each read and write less
 * than a microsecond.
 */
static void register_buffers(struct io *io)
{
    struct iovec vectors[IO_BUFFERS_MAX];
    if (io->buffers_asked)
        return;
    io->buffers_asked = true;
    for (unsigned i = 0; i < io->buffers->count; i++)
        vectors[i] = (struct iovec){
            .iov_base = io->buffers->memory + i * io->buffers->buffer_bytes,
            .iov_len = io->buffers->buffer_bytes,
        };
    io->buffers_registered = io_uring_register_buffers(&io->ring, vectors, io->buffers->count) == 0;
}

/* Whether a read or write is to name its buffer by number: once there were enough of them. */
static bool use_registered_buffers(struct io *io)
{
    if (!io->buffers_asked && ++io->data_count > REGISTER_AFTER)
        register_buffers(io);
    return io->buffers_registered;
}

static bool ring_ready(struct io *io)
{
    if (io->state == RING_NOT_MADE) {
        if (ring_init(&io->ring, io->entries + 1) < 0) {
            io->state = RING_FAILED;
            return false;
        }
        io->state = RING_READY;
        unsigned threads[2] = {KERNEL_THREADS_MAX, 0}; /* bounded, unbounded (0: leave it) */
        io_uring_register_iowq_max_workers(&io->ring, threads);
        if (!(io->ring.flags & IORING_SETUP_SUBMIT_ALL))
            register_buffers(io); /* before 5.13 that waits until nothing is under way */
    }
    return io->state == RING_READY;
}

/* Whether the data of an operation lies in the buffer that it names. */
ASSERTION_ONLY static bool is_in_buffer(const struct io *io, const struct io_op *op)
{
    const struct io_buffers *buffers = io->buffers;
    if (op->buffer_index < 0 || (unsigned)op->buffer_index >= buffers->count)
        return false;
    const char *start = buffers->memory + (size_t)op->buffer_index * buffers->buffer_bytes;
    const char *data = op->data;
    return data >= start && op->length <= buffers->buffer_bytes &&
           (size_t)(data - start) <= buffers->buffer_bytes - op->length;
}

static void prepare_sqe(struct io *io, struct io_uring_sqe *sqe, struct io_op *op)
{
    switch (op->kind) {
    case IO_OPEN:
        op->own_how = same_mount_how(op->flags, op->mode);
        if (op->how || op->one_mount)
            io_uring_prep_openat2(sqe, op->fd, op->name,
                                  op->how ? (struct open_how *)op->how : &op->own_how);
        else
            io_uring_prep_openat(sqe, op->fd, op->name, op->flags, op->mode);
        break;
    case IO_READ:
        assert(is_in_buffer(io, op));
        if (use_registered_buffers(io))
            io_uring_prep_read_fixed(sqe, op->fd, op->data, (unsigned)op->length, op->offset,
                                     op->buffer_index);
        else
            io_uring_prep_read(sqe, op->fd, op->data, (unsigned)op->length, op->offset);
        break;
    case IO_WRITE:
        assert(is_in_buffer(io, op));
        if (use_registered_buffers(io))
            io_uring_prep_write_fixed(sqe, op->fd, op->data, (unsigned)op->length, op->offset,
                                      op->buffer_index);
        else
            io_uring_prep_write(sqe, op->fd, op->data, (unsigned)op->length, op->offset);
        break;
    default:
        assert(op->kind == IO_CLOSE);
        REPORT_CLOSE_TO_SANITIZER(op->fd);
        io_uring_prep_close(sqe, op->fd);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
}

/* The kernel refuses the ring. What it has not taken is done by plain calls and reaped later. */
static void ring_fail(struct io *io)
{
    assert(io->state == RING_READY);
    io->state = RING_FAILED;
    struct io_uring_sq *sq = &io->ring.sq;
    assert(sq->sqe_tail - *sq->khead <= io->entries + 1); /* and the wake */
    for (unsigned i = *sq->khead; i != sq->sqe_tail; i++) {
        struct io_op *op = (struct io_op *)(uintptr_t)sq->sqes[i & *sq->kring_mask].user_data;
        if (!op) {
            io->wake_armed = false;
            continue;
        }
        io_call(op);
        assert(io->returned_count < io->in_flight && io->in_flight <= io->entries);
        io->returned[io->returned_count++] = op;
    }
}

static int submit_and_wait(struct io_uring *ring, uint64_t wait_ns)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = (long long)(wait_ns / NS_PER_S),
                                        .tv_nsec = (long long)(wait_ns % NS_PER_S)};
    return wait_ns == UINT64_MAX ? io_uring_submit_and_wait(ring, 1)
                                 : io_uring_submit_and_wait_timeout(ring, &cqe, 1, &timeout, NULL);
}

static void ring_submit_queued(struct io *io, uint64_t wait_ns)
{
    int result;
    io->idle_checks = 0;
    do {
        result = wait_ns ? submit_and_wait(&io->ring, wait_ns) : io_uring_submit(&io->ring);
    } while (result == -EINTR && !wait_ns);
    /* EAGAIN, EBUSY: short of memory, or completions wait to be reaped: later */
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY && result != -ETIME)
        ring_fail(io);
}

static enum io_answer ring_submit(struct io *io, struct io_op *op)
{
    if (!op->one_of_many) {
        if (op->latency == IO_IMMEDIATE) { /* all kinds that a ring does not know are */
            io_call(op);
            return IO_DONE;
        }
        if (op->latency == IO_CACHED && io_try(op))
            return IO_DONE;
    }
    if (io->in_flight >= io->entries)
        return IO_BUSY;
    if (!ring_ready(io)) {
        io_call(op);
        return IO_DONE;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    if (!sqe) {
        ring_submit_queued(io, 0);
        return IO_BUSY;
    }
    prepare_sqe(io, sqe, op);
    io->in_flight++;
    assert(io->in_flight <= io->entries);
    if (io_uring_sq_ready(&io->ring) >= IO_TOGETHER)
        ring_submit_queued(io, 0);
    return IO_QUEUED;
}

static void arm_wake(struct io *io)
{
    struct io_uring_sqe *sqe = io->wake_armed ? NULL : io_uring_get_sqe(&io->ring);
    if (!sqe)
        return;
    io_uring_prep_read(sqe, io->wake_fd, &io->wake_count, sizeof(io->wake_count), 0);
    io_uring_sqe_set_data(sqe, NULL);
    io->wake_armed = true;
}

static struct io_op *take_returned(struct io *io)
{
    if (io->returned_count == 0)
        return NULL;
    assert(io->state == RING_FAILED && io->in_flight >= io->returned_count);
    io->in_flight--;
    return io->returned[--io->returned_count];
}

/*
 * Whether the kernel did not carry an operation out because it would have had to wait, and nobody
 * but its caller can. A read answers 0 then on Linux 5.9 and 5.10 (BUGS in preadv2(2)), but only
 * where it was tried at once, which a server's file system cannot be.
 */
static bool needs_plain_call(const struct io_op *op)
{
    if (op->result == -EAGAIN || op->result == -EINTR)
        return op->kind != IO_CLOSE;
    return op->result == 0 && op->kind == IO_READ && op->length > 0 && op->latency != IO_REMOTE;
}

/*
 * Takes one completion off the ring. After a failure those that the kernel had already taken still
 * arrive there.
 */
static struct io_op *take_completion(struct io *io, bool *ret_woken)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        struct io_op *op = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&io->ring, cqe);
        if (!op) {
            assert(io->wake_armed);
            io->wake_armed = false;
            *ret_woken = true;
            continue;
        }
        assert(io->in_flight > io->returned_count);
        io->in_flight--;
        op->result = result;
        if (needs_plain_call(op))
            io_call(op);
        return op;
    }
    return NULL;
}

/* What is queued does not wait for others as long as its thread has other things to do. */
static void submit_overdue(struct io *io)
{
    if (io->state == RING_READY && io_uring_sq_ready(&io->ring) > 0 &&
        ++io->idle_checks >= IDLE_CHECKS_MAX)
        ring_submit_queued(io, 0);
}

static struct io_op *ring_reap(struct io *io, uint64_t wait_ns)
{
    struct io_op *op = take_returned(io);
    if (op || (io->in_flight == 0 && !wait_ns))
        return op;
    bool woken = false;
    if (io->in_flight > 0 || io->wake_armed) {
        op = take_completion(io, &woken);
        if (op || woken)
            return op;
    }
    if (!wait_ns) {
        submit_overdue(io);
        return NULL;
    }
    if (io->in_flight == 0 && !io->wake_armed) {
        wake_wait(io->wake_fd, wait_ns);
    } else if (io->state == RING_READY) {
        arm_wake(io);
        ring_submit_queued(io, wait_ns);
        op = take_returned(io);
        return op ? op : take_completion(io, &woken);
    } else { /* it failed: only checking again tells what is done of what it has taken */
        usleep((useconds_t)MIN(wait_ns / NS_PER_US, (uint64_t)FAILED_CHECK_US));
    }
    return NULL;
}

static void ring_wake(struct io *io)
{
    eventfd_write(io->wake_fd, 1);
}

static void ring_destroy(struct io *io)
{
    assert(io->in_flight == 0 && io->returned_count == 0);
    if (io->state == RING_READY || io->ring.ring_fd > 0)
        io_uring_queue_exit(&io->ring);
    close(io->wake_fd);
    free(io->returned);
    free(io);
}

const struct io_backend io_ring_backend = {
    .name = "ring",
    .queues = true,
    .create = ring_create,
    .submit = ring_submit,
    .reap = ring_reap,
    .wake = ring_wake,
    .destroy = ring_destroy,
};
