/* For the tests of the engine: what a backend answers, in other ways than usual. */
#pragma once

#include "tests/unit/engine_support.h"

#include "engine/engine.h"

static struct io_backend hooked;
static enum io_answer (*inner_submit)(struct io *io, struct io_op *op);
static bool (*hook)(struct io_op *op); /* true: it has answered */

static enum io_answer hooked_submit(struct io *io, struct io_op *op)
{
    return hook(op) ? IO_DONE : inner_submit(io, op);
}

/** Puts a hook between the engine, which is made anew, and its backend. */
static inline void hook_engine(bool (*with)(struct io_op *op), struct copyengine_options options)
{
    options.size = sizeof(options);
    hooked = backend() == COPYENGINE_THREADS ? io_threads_backend : io_ring_backend;
    inner_submit = hooked.submit;
    hooked.submit = hooked_submit;
    hook = with;
    copyengine_free(engine);
    cr_assert_eq(engine_new(&options, &hooked, &engine, NULL), 0);
}
