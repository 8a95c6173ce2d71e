/* Who waits until when, and for which directory: what is taken, and in which order. */
#include "cache/warm/wait_queue.h"

#include "engine/compiler.h"

#include <criterion/criterion.h>

enum { COUNT = 1000, DIRECTORIES = 37 };

/* Numbers that look like chance, the same each time. */
static uint64_t next_number(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 33;
}

static void add_all(struct wait_queue *queue, struct waiter *waiters, uint64_t *state)
{
    for (int i = 0; i < COUNT; i++) {
        waiters[i].deadline_ns = next_number(state) % 500;
        waiters[i].directory = i % DIRECTORIES - 1;
        cr_assert_eq(wait_queue_add(queue, &waiters[i]), 0);
    }
}

Test(wait_queue, nobody)
{
    struct wait_queue queue = {0};
    cr_assert_eq(wait_queue_deadline_ns(&queue), UINT64_MAX);
    cr_assert_null(wait_queue_take_due(&queue, UINT64_MAX));
    cr_assert_null(wait_queue_take_of_directory(&queue, 3));
    cr_assert_null(wait_queue_take_of_directory(&queue, -1));
    wait_queue_free(&queue);
}

Test(wait_queue, by_deadline)
{
    static struct waiter waiters[COUNT];
    struct wait_queue queue = {0};
    uint64_t state = 1;
    add_all(&queue, waiters, &state);
    uint64_t last_ns = 0;
    for (int i = 0; i < COUNT; i++) {
        uint64_t deadline_ns = wait_queue_deadline_ns(&queue);
        cr_assert_geq(deadline_ns, last_ns);
        if (deadline_ns > 0)
            cr_assert_null(wait_queue_take_due(&queue, deadline_ns - 1));
        struct waiter *waiter = wait_queue_take_due(&queue, deadline_ns);
        cr_assert_not_null(waiter);
        cr_assert_eq(waiter->deadline_ns, deadline_ns);
        cr_assert_eq(waiter->place, 0);
        last_ns = deadline_ns;
    }
    cr_assert_null(wait_queue_take_due(&queue, UINT64_MAX));
    wait_queue_free(&queue);
}

Test(wait_queue, by_directory)
{
    static struct waiter waiters[COUNT];
    struct wait_queue queue = {0};
    uint64_t state = 2;
    add_all(&queue, waiters, &state);
    for (int i = 0; i < COUNT; i += 3)
        wait_queue_remove(&queue, &waiters[i]);
    for (int directory = 0; directory < DIRECTORIES - 1; directory++) {
        int expected = 0;
        for (int i = 0; i < COUNT; i++)
            expected += waiters[i].place > 0 && waiters[i].directory == directory;
        int taken = 0;
        for (struct waiter *waiter; (waiter = wait_queue_take_of_directory(&queue, directory));
             taken++)
            cr_assert_eq(waiter->directory, directory);
        cr_assert_eq(taken, expected);
    }
    uint64_t last_ns = 0; /* those without a directory */
    for (struct waiter *waiter; (waiter = wait_queue_take_due(&queue, UINT64_MAX));) {
        cr_assert_eq(waiter->directory, -1);
        cr_assert_geq(waiter->deadline_ns, last_ns);
        last_ns = waiter->deadline_ns;
    }
    wait_queue_free(&queue);
}

Test(wait_queue, again_and_again)
{
    static struct waiter waiters[COUNT];
    struct wait_queue queue = {0};
    uint64_t state = 3;
    add_all(&queue, waiters, &state);
    for (int i = 0; i < 100 * COUNT; i++) {
        struct waiter *waiter = &waiters[next_number(&state) % COUNT];
        if (waiter->place > 0) {
            wait_queue_remove(&queue, waiter);
        } else {
            waiter->deadline_ns = next_number(&state);
            waiter->directory = (int)(next_number(&state) % DIRECTORIES) - 1;
            cr_assert_eq(wait_queue_add(&queue, waiter), 0);
        }
        for (size_t place = 2; i % COUNT == 0 && place <= queue.count; place++)
            cr_assert_leq(queue.heap[place / 2]->deadline_ns, queue.heap[place]->deadline_ns);
    }
    wait_queue_free(&queue);
}
