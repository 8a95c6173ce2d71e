/* Threads that make plain calls for rings. One more is started while all are busy. */
#include "engine/io_pool.h"

#include "engine/thread.h"

#include <stddef.h>

static void *pool_main(void *argument)
{
    struct io_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->stopping) {
            pool->idle++;
            pthread_cond_wait(&pool->wake, &pool->lock);
            pool->idle--;
        }
        struct io_op *op = pool->first;
        if (!op)
            break;
        pool->first = op->next;
        pool->waiting--;
        pthread_mutex_unlock(&pool->lock);
        io_call(op);
        op->on_done(op);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void io_pool_init(struct io_pool *pool)
{
    *pool = (struct io_pool){0};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
}

bool io_pool_add(struct io_pool *pool, struct io_op *op)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->waiting >= pool->idle && pool->thread_count < IO_POOL_THREADS_MAX &&
        thread_start(&pool->threads[pool->thread_count], pool_main, pool) == 0)
        pool->thread_count++;
    bool taken = pool->thread_count > 0;
    if (taken) {
        op->next = NULL;
        if (pool->first)
            pool->last->next = op;
        else
            pool->first = op;
        pool->last = op;
        pool->waiting++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

static void stop(struct io_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

void io_pool_destroy(struct io_pool *pool)
{
    stop(pool);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->wake);
}

void io_pool_leave_behind(struct io_pool *pool)
{
    stop(pool);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_detach(pool->threads[i]);
}
