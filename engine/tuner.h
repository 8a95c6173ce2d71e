/*
 * Finds a number by trying: how many operations at once, by what gets completed. Knows nothing of
 * operations. See tuner.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct tuner {
    atomic_uint value; /* what is found so far; anybody may read it */

    pthread_mutex_t lock; /* for the rest; who does not get it leaves the measuring to who has it */
    unsigned min;
    unsigned max;
    unsigned settled;    /* the best value known */
    double settled_rate; /* at that; completions a nanosecond; 0: not known */
    unsigned tried;      /* the value of the trial that has just been */
    double tried_rate;   /* at that; 0: there was none */
    int direction;       /* of the next trial: up or down */
    unsigned rest_ticks; /* until then */
    unsigned rest_next;  /* how long to rest after the next trial that does not pay */
    uint64_t tick_start_ns;
    uint64_t tick_start_completed;
};

/**
 * @param value to begin with, between
 * @param min   and
 * @param max   which are at least 1
 */
void tuner_init(struct tuner *tuner, unsigned value, unsigned min, unsigned max);
void tuner_destroy(struct tuner *tuner);

/**
 * Looks at what was completed, and perhaps tries another value.
 *
 * @param now_ns    CLOCK_MONOTONIC
 * @param completed in all so far
 */
void tuner_sample(struct tuner *tuner, uint64_t now_ns, uint64_t completed);

static inline unsigned tuner_value(struct tuner *tuner)
{
    return atomic_load_explicit(&tuner->value, memory_order_relaxed);
}
