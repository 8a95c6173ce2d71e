/*
 * The same work for many things side by side: for what waits for slow storage. Not for what takes
 * long: nobody can cancel it.
 */
#pragma once

#include <stddef.h>

/**
 * Calls `work` once for each index below count, in any order, from up to 16 threads, of which the
 * caller's is one. Returns when all are done.
 */
void spread(size_t count, void (*work)(void *context, size_t index), void *context);
