/*
 * The heartbeat of all slots that one process owns: their `.copying` files are touched when
 * something completed anywhere in this process, at most every 200 ms, and never by a timer. A copy
 * that hangs is seen to hang. During a flush, what the kernel writes counts as completed: see
 * flusher_progresses.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct heartbeat {
    pthread_mutex_t lock;
    uint64_t last_ns; /* CLOCK_MONOTONIC, of the last beat */
    int *fds;
    size_t count;
    size_t capacity;
};

void heartbeat_init(struct heartbeat *heartbeat);
void heartbeat_destroy(struct heartbeat *heartbeat);

/** From now on `fd` beats along. It stays the caller's. @return 0 or -ENOMEM */
int heartbeat_add(struct heartbeat *heartbeat, int fd);

/** `fd` beats no more, and may be closed. Unknown ones are ignored. */
void heartbeat_remove(struct heartbeat *heartbeat, int fd);

/** Something completed. Any thread. */
void heartbeat_beat(struct heartbeat *heartbeat);
