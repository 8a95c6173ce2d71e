/*
 * A queue of additions that wait: until a deadline, or for a change in a directory. Taking the next
 * one is cheap, however many wait. The caller knows what each waits for, and watches the
 * directories.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** One that waits; lives in what waits. All of it is zero before the first waiting_add. */
struct waiter {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    int directory;        /* its number, from 0; below: none */
    size_t place;         /* in the heap, from 1; 0: it does not wait */
    struct waiter *next;  /* for the same directory */
    struct waiter *previous;
};

struct waiting {
    struct waiter **heap; /* from 1: each is due no later than those at twice its place, and one
                             more */
    size_t count;
    size_t capacity;
    struct waiter **directories; /* by number */
    size_t directory_count;
};

/** One more waits: its deadline and directory are set. @return 0 or -ENOMEM */
int waiting_add(struct waiting *waiting, struct waiter *waiter);

/** It waits no more. */
void waiting_remove(struct waiting *waiting, struct waiter *waiter);

/** @return when the first is due; UINT64_MAX: nobody waits */
uint64_t waiting_deadline_ns(const struct waiting *waiting);

/** @return one that is due, which waits no more; NULL: there is none */
struct waiter *waiting_take_due(struct waiting *waiting, uint64_t now_ns);

/** @return one that waits for this directory, and waits no more; NULL: there is none */
struct waiter *waiting_take_of(struct waiting *waiting, int directory);

/** Those who still wait are forgotten. */
void waiting_free(struct waiting *waiting);
