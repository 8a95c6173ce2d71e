/*
 * The processors that a thread runs on: all that the process may use, or all but one, for a program
 * that has something more urgent to do than to copy. A thread's affinity (sched_setaffinity(2)),
 * unlike fewer threads, takes nothing from what may be under way at once.
 */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

/**
 * Finds the processors that the calling thread may use.
 *
 * @param ret empty where they are too many to tell
 * @return    how many, at least 1
 */
static inline unsigned processors_find(cpu_set_t *ret)
{
    CPU_ZERO(ret);
    long count = sched_getaffinity(0, sizeof(*ret), ret) == 0 ? CPU_COUNT(ret)
                                                              : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (unsigned)count;
}

/** All but the first, if there are several. */
static inline cpu_set_t processors_but_one(const cpu_set_t *all)
{
    cpu_set_t set = *all;
    if (CPU_COUNT(all) < 2)
        return set;
    int first = 0;
    while (!CPU_ISSET(first, all))
        first++;
    CPU_CLR(first, &set);
    return set;
}

/** Whether the calling thread leaves one of `all` to others: a new thread has that from the one
 * that started it. */
static inline bool processors_one_is_left(const cpu_set_t *all)
{
    cpu_set_t but_one = processors_but_one(all);
    cpu_set_t ours;
    processors_find(&ours);
    return CPU_COUNT(all) > 1 && CPU_EQUAL(&ours, &but_one);
}

/**
 * Has the calling thread use all, or all but one.
 *
 * @param one_is_left what it does so far
 */
static inline void processors_use(const cpu_set_t *all, bool leave_one, bool *one_is_left)
{
    if (leave_one == *one_is_left)
        return;
    cpu_set_t set = leave_one ? processors_but_one(all) : *all;
    *one_is_left = leave_one;
    if (CPU_COUNT(&set) > 0)
        (void)sched_setaffinity(0, sizeof(set), &set); /* if not, others wait a little longer */
}
