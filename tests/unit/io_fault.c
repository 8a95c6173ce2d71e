/* The backend that makes operations go wrong. See io_fault.h for what it does, and does not. */
#include "tests/unit/io_fault.h"

#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

struct io {
    struct io *inner;
    struct io_op *shortened; /* queued, with another length than it was given */
    size_t length;           /* that it was given */
    struct io_op *hung;
};

static struct fault_plan plan;
static atomic_uint begun;
static atomic_bool released;
static pthread_mutex_t hang_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hang_ends = PTHREAD_COND_INITIALIZER;
static struct io *hung_io; /* under hang_lock */

void io_fault_plan(const struct fault_plan *new_plan)
{
    plan = *new_plan;
    atomic_store(&begun, 0);
    atomic_store(&released, false);
    hung_io = NULL;
}

bool io_fault_happened(void)
{
    return plan.nth > 0 && atomic_load(&begun) >= plan.nth;
}

static bool is_idle(struct copyengine *engine)
{
    pthread_mutex_lock(&engine->schedule.lock);
    bool idle = !engine->schedule.jobs;
    pthread_mutex_unlock(&engine->schedule.lock);
    return idle;
}

bool io_fault_wait(struct copyengine *engine)
{
    while (!io_fault_happened() && !is_idle(engine))
        usleep(100);
    return io_fault_happened();
}

void io_fault_wait_idle(struct copyengine *engine)
{
    while (!is_idle(engine))
        usleep(100);
}

void io_fault_release(void)
{
    pthread_mutex_lock(&hang_lock);
    atomic_store(&released, true);
    pthread_cond_broadcast(&hang_ends);
    if (hung_io)
        plan.inner->wake(hung_io->inner);
    pthread_mutex_unlock(&hang_lock);
}

static int fault_create(unsigned entries, const struct io_buffers *buffers, struct io **ret)
{
    struct io *io = calloc(1, sizeof(*io));
    int result = io ? plan.inner->create(entries, buffers, &io->inner) : -ENOMEM;
    if (result < 0)
        free(io);
    else
        *ret = io;
    return result;
}

static bool moves_bytes(const struct io_op *op)
{
    return op->kind == IO_READ || op->kind == IO_WRITE || op->kind == IO_COPY_RANGE ||
           op->kind == IO_SEND;
}

static bool needs_room(const struct io_op *op)
{
    switch (op->kind) {
    case IO_WRITE:
    case IO_MAKE_DIR:
    case IO_MAKE_LINK:
    case IO_HARD_LINK:
    case IO_ALLOCATE:
    case IO_CLONE:
    case IO_COPY_RANGE:
    case IO_SEND:
    case IO_SET_XATTR:
        return true;
    case IO_OPEN:
        return op->flags & O_CREAT;
    default:
        return false;
    }
}

static enum io_answer answer_error(struct io_op *op, int code)
{
    if (op->kind == IO_CLOSE)
        close(op->fd);
    op->result = -code;
    return IO_DONE;
}

static enum io_answer submit_half(struct io *io, struct io_op *op)
{
    if (!moves_bytes(op))
        return plan.inner->submit(io->inner, op);
    io->length = op->length;
    op->length = MAX(op->length / 2, (size_t)1);
    enum io_answer answer = plan.inner->submit(io->inner, op);
    if (answer == IO_QUEUED)
        io->shortened = op;
    else
        op->length = io->length;
    return answer;
}

/* What is never queued keeps its thread waiting. */
static enum io_answer hang(struct io *io, struct io_op *op)
{
    pthread_mutex_lock(&hang_lock);
    if (plan.inner->queues && (op->latency != IO_IMMEDIATE || op->one_of_many)) {
        io->hung = op;
        hung_io = io;
        pthread_mutex_unlock(&hang_lock);
        return IO_QUEUED;
    }
    while (!atomic_load(&released))
        pthread_cond_wait(&hang_ends, &hang_lock);
    pthread_mutex_unlock(&hang_lock);
    io_call(op);
    return IO_DONE;
}

static enum io_answer fault_submit(struct io *io, struct io_op *op)
{
    unsigned number = atomic_fetch_add(&begun, 1) + 1;
    if (plan.queues && op->latency == IO_CACHED)
        op->latency = IO_REMOTE;
    op->one_of_many |= plan.queues && op->kind == IO_CLOSE;
    if (plan.how == FAULT_FULL && plan.nth > 0 && number >= plan.nth && needs_room(op))
        return answer_error(op, ENOSPC);
    if (number != plan.nth)
        return plan.inner->submit(io->inner, op);
    switch (plan.how) {
    case FAULT_ERROR:
        return answer_error(op, plan.code);
    case FAULT_SHORT:
        return submit_half(io, op);
    case FAULT_HANG:
        return hang(io, op);
    default:
        return plan.inner->submit(io->inner, op);
    }
}

static struct io_op *fault_reap(struct io *io, uint64_t wait_ns)
{
    if (io->hung && atomic_load(&released)) {
        struct io_op *op = STEAL(io->hung);
        io_call(op);
        return op;
    }
    struct io_op *op = plan.inner->reap(io->inner, wait_ns);
    if (op && op == io->shortened) {
        op->length = io->length;
        io->shortened = NULL;
    }
    return op;
}

static void fault_wake(struct io *io)
{
    plan.inner->wake(io->inner);
}

static void fault_destroy(struct io *io)
{
    assert(!io->hung);
    plan.inner->destroy(io->inner);
    free(io);
}

const struct io_backend io_fault_backend = {
    .name = "fault",
    .queues = true, /* so that a worker has several files under way with either inner backend */
    .create = fault_create,
    .submit = fault_submit,
    .reap = fault_reap,
    .wake = fault_wake,
    .destroy = fault_destroy,
};
