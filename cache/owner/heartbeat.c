/* The heartbeat of slots. See heartbeat.h for when it beats. */
#include "cache/owner/heartbeat.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <sys/stat.h>

enum { INTERVAL_MS = 200 };

void heartbeat_init(struct heartbeat *heartbeat)
{
    *heartbeat = (struct heartbeat){0};
    pthread_mutex_init(&heartbeat->lock, NULL);
}

void heartbeat_destroy(struct heartbeat *heartbeat)
{
    pthread_mutex_destroy(&heartbeat->lock);
    free(heartbeat->fds);
}

int heartbeat_add(struct heartbeat *heartbeat, int fd)
{
    int result = 0;
    pthread_mutex_lock(&heartbeat->lock);
    if (heartbeat->count == heartbeat->capacity) {
        size_t capacity = MAX(2 * heartbeat->capacity, (size_t)16);
        int *fds = realloc(heartbeat->fds, capacity * sizeof(*fds));
        if (fds) {
            heartbeat->fds = fds;
            heartbeat->capacity = capacity;
        } else {
            result = -ENOMEM;
        }
    }
    if (result == 0)
        heartbeat->fds[heartbeat->count++] = fd;
    pthread_mutex_unlock(&heartbeat->lock);
    return result;
}

void heartbeat_remove(struct heartbeat *heartbeat, int fd)
{
    pthread_mutex_lock(&heartbeat->lock);
    for (size_t i = 0; i < heartbeat->count; i++)
        if (heartbeat->fds[i] == fd) {
            heartbeat->fds[i] = heartbeat->fds[--heartbeat->count];
            break;
        }
    pthread_mutex_unlock(&heartbeat->lock);
}

void heartbeat_beat(struct heartbeat *heartbeat)
{
    uint64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&heartbeat->lock);
    if (now_ns >= heartbeat->last_ns + INTERVAL_MS * NS_PER_MS) {
        heartbeat->last_ns = now_ns;
        for (size_t i = 0; i < heartbeat->count; i++)
            futimens(heartbeat->fds[i], NULL); /* if it fails, we look stalled: no harm is done */
    }
    pthread_mutex_unlock(&heartbeat->lock);
}
