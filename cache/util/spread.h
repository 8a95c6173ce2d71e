/*
 * Runs the same function for many items in parallel, for calls that wait for slow storage. Not for
 * long work: it cannot be cancelled.
 */
#pragma once

#include <stddef.h>

/**
 * Calls `work` once for each index below count, in any order, from up to 16 threads, of which the
 * caller's is one. Returns when all are done.
 */
void spread(size_t count, void (*work)(void *context, size_t index), void *context);

enum { SPREAD_THREADS_MAX = 64 };

/** The same from up to so many threads, SPREAD_THREADS_MAX at most: for many items that wait for a
 * server. */
void spread_over(size_t thread_count, size_t count, void (*work)(void *context, size_t index),
                 void *context);
