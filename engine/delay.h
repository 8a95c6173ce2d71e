/* What waits for its bandwidth, or for a lease to end, on a thread: a queue of moments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct copyengine_job;

/** Embedded in what is delayed. */
struct delay {
    struct delay *next;
    const struct copyengine_job *job;
    uint64_t due_ns; /* CLOCK_MONOTONIC */
};

struct delay_list {
    struct delay *first;
    struct delay *last;
};

static inline void delay_list_append(struct delay_list *list, struct delay *delay)
{
    delay->next = NULL;
    if (list->first)
        list->last->next = delay;
    else
        list->first = delay;
    list->last = delay;
}

/** @return NULL: the list is empty */
static inline struct delay *delay_list_pop(struct delay_list *list)
{
    struct delay *delay = list->first;
    if (delay)
        list->first = delay->next;
    return delay;
}

static inline bool delay_list_has_job(const struct delay_list *list,
                                      const struct copyengine_job *job)
{
    const struct delay *delay = list->first;
    while (delay && delay->job != job)
        delay = delay->next;
    return delay;
}
