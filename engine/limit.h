/* A bandwidth cap: a token bucket that all who share it take from. */
#pragma once

#include <pthread.h>
#include <stdint.h>

struct limit {
    pthread_mutex_t lock;
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t free_at_ns;  /* CLOCK_MONOTONIC; when all that was taken so far is paid for */
};

void limit_init(struct limit *limit, uint64_t bytes_per_s);
void limit_destroy(struct limit *limit);

/**
 * Takes bytes out of the bucket.
 *
 * @return when the caller may move them, CLOCK_MONOTONIC in nanoseconds; 0: now
 */
uint64_t limit_take(struct limit *limit, uint64_t bytes);

/** @return the largest piece that should be moved at once under this limit, at most `wanted` */
uint64_t limit_piece(const struct limit *limit, uint64_t wanted);
