/* Each thread takes the next index when it is free. */
#include "cache/util/spread.h"

#include "engine/compiler.h"
#include "engine/thread.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 16 };

struct spreading {
    size_t count;
    atomic_size_t next;
    void (*work)(void *context, size_t index);
    void *context;
};

static void *spread_main(void *argument)
{
    struct spreading *spreading = argument;
    for (size_t i; (i = atomic_fetch_add(&spreading->next, 1)) < spreading->count;)
        spreading->work(spreading->context, i);
    return NULL;
}

void spread(size_t count, void (*work)(void *context, size_t index), void *context)
{
    spread_over(THREADS, count, work, context);
}

void spread_over(size_t thread_count, size_t count, void (*work)(void *context, size_t index),
                 void *context)
{
    struct spreading spreading = {.count = count, .work = work, .context = context};
    pthread_t threads[SPREAD_THREADS_MAX - 1];
    size_t started = 0;
    size_t wanted = MIN(MIN(thread_count, count), (size_t)SPREAD_THREADS_MAX);
    while (started + 1 < wanted && thread_start(&threads[started], spread_main, &spreading) == 0)
        started++;
    spread_main(&spreading);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
