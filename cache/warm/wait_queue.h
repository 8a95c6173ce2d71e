/*
 * A queue of additions that wait: until a deadline, or for a change in a directory. Taking the next
 * one is cheap, however many wait. The caller knows what each waits for, and watches the
 * directories.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** One that waits; a member of the addition. All of it is zero before the first wait_queue_add. */
struct waiter {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    int directory;        /* its number, from 0; negative: none */
    size_t place;         /* in the heap, from 1; 0: it does not wait */
    struct waiter *next;  /* for the same directory */
    struct waiter *previous;
};

struct wait_queue {
    struct waiter *
        *heap; /* from 1: no waiter is due later than those at 2 * place, 2 * place + 1 */
    size_t count;
    size_t capacity;
    struct waiter **directories; /* by number */
    size_t directory_count;
};

/** Adds a waiter, whose deadline and directory are set. @return 0 or -ENOMEM */
int wait_queue_add(struct wait_queue *queue, struct waiter *waiter);

/** Removes a waiter from the queue. */
void wait_queue_remove(struct wait_queue *queue, struct waiter *waiter);

/** @return when the first is due; UINT64_MAX: nobody waits */
uint64_t wait_queue_deadline_ns(const struct wait_queue *queue);

/** @return one that is due, which waits no more; NULL: there is none */
struct waiter *wait_queue_take_due(struct wait_queue *queue, uint64_t now_ns);

/** @return one that waits for this directory, and waits no more; NULL: there is none */
struct waiter *wait_queue_take_of_directory(struct wait_queue *queue, int directory);

/** Frees the queue, not the waiters. */
void wait_queue_free(struct wait_queue *queue);
