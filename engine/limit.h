/* The bandwidth cap: a token bucket that all jobs of an engine share. */
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
 * @return how long the caller must wait before it moves them, in nanoseconds
 */
uint64_t limit_take(struct limit *limit, uint64_t bytes);

/** @return the largest piece that should be moved at once under this limit, at most `wanted` */
uint64_t limit_piece(const struct limit *limit, uint64_t wanted);
