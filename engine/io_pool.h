/*
 * Threads for operations that may wait and that a ring does not have. Shared by all rings of an
 * engine; knows nothing of rings.
 */
#pragma once

#include "engine/io.h"

#include <pthread.h>

enum { IO_POOL_THREADS_MAX = 64 };

struct io_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct io_op *first;
    struct io_op *last;
    unsigned waiting; /* operations */
    unsigned idle;    /* threads */
    bool stopping;
    unsigned thread_count;
    pthread_t threads[IO_POOL_THREADS_MAX];
};

void io_pool_init(struct io_pool *pool);

/**
 * Hands an operation over.
 *
 * @param op its on_done is called from a thread of the pool when it has its result
 * @return   false: there is no thread to be had
 */
bool io_pool_add(struct io_pool *pool, struct io_op *op);

/** Ends the threads; nothing waits. */
void io_pool_destroy(struct io_pool *pool);

/** Lets the threads end when they can, or never. */
void io_pool_leave_behind(struct io_pool *pool);
