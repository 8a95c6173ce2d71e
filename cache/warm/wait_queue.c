/* A binary heap by deadline, and a list for each directory. */
#include "cache/warm/wait_queue.h"

#include "engine/compiler.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static void set_place(struct wait_queue *queue, struct waiter *waiter, size_t place)
{
    queue->heap[place] = waiter;
    waiter->place = place;
}

static void sift_up(struct wait_queue *queue, struct waiter *waiter, size_t place)
{
    for (; place > 1; place /= 2) {
        struct waiter *above = queue->heap[place / 2];
        if (above->deadline_ns <= waiter->deadline_ns)
            break;
        set_place(queue, above, place);
    }
    set_place(queue, waiter, place);
}

static void sift_down(struct wait_queue *queue, struct waiter *waiter, size_t place)
{
    for (size_t below; (below = 2 * place) <= queue->count; place = below) {
        if (below < queue->count &&
            queue->heap[below + 1]->deadline_ns < queue->heap[below]->deadline_ns)
            below++;
        if (waiter->deadline_ns <= queue->heap[below]->deadline_ns)
            break;
        set_place(queue, queue->heap[below], place);
    }
    set_place(queue, waiter, place);
}

/* Makes room for `count` pointers in an array; what is new is NULL. */
static int grow(struct waiter ***array, size_t *capacity, size_t count)
{
    if (count <= *capacity)
        return 0;
    size_t wanted = MAX(count, 2 * *capacity);
    struct waiter **grown = reallocarray(*array, wanted, sizeof(struct waiter *));
    if (!grown)
        return -ENOMEM;
    memset(grown + *capacity, 0, (wanted - *capacity) * sizeof(struct waiter *));
    *array = grown;
    *capacity = wanted;
    return 0;
}

int wait_queue_add(struct wait_queue *queue, struct waiter *waiter)
{
    assert(waiter->place == 0); /* it does not wait already */
    int result = grow(&queue->heap, &queue->capacity, queue->count + 2);
    if (result == 0 && waiter->directory >= 0)
        result = grow(&queue->directories, &queue->directory_count, (size_t)waiter->directory + 1);
    if (result < 0)
        return result;
    sift_up(queue, waiter, ++queue->count);
    assert(queue->heap[waiter->place] == waiter);
    if (waiter->directory < 0)
        return 0;
    struct waiter **first = &queue->directories[waiter->directory];
    waiter->previous = NULL;
    waiter->next = *first;
    if (*first)
        (*first)->previous = waiter;
    *first = waiter;
    return 0;
}

void wait_queue_remove(struct wait_queue *queue, struct waiter *waiter)
{
    size_t place = waiter->place;
    assert(place > 0 && place <= queue->count && queue->heap[place] == waiter);
    assert(waiter->directory < 0 || (size_t)waiter->directory < queue->directory_count);
    struct waiter *last = queue->heap[queue->count--];
    waiter->place = 0;
    if (last != waiter) { /* fills the gap */
        sift_up(queue, last, place);
        sift_down(queue, last, last->place);
    }
    if (waiter->directory < 0)
        return;
    assert(waiter->previous || queue->directories[waiter->directory] == waiter);
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        queue->directories[waiter->directory] = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
}

uint64_t wait_queue_deadline_ns(const struct wait_queue *queue)
{
    return queue->count > 0 ? queue->heap[1]->deadline_ns : UINT64_MAX;
}

static struct waiter *take_waiter(struct wait_queue *queue, struct waiter *waiter)
{
    if (waiter)
        wait_queue_remove(queue, waiter);
    return waiter;
}

struct waiter *wait_queue_take_due(struct wait_queue *queue, uint64_t now_ns)
{
    return take_waiter(
        queue, queue->count > 0 && queue->heap[1]->deadline_ns <= now_ns ? queue->heap[1] : NULL);
}

struct waiter *wait_queue_take_of_directory(struct wait_queue *queue, int directory)
{
    bool known = directory >= 0 && (size_t)directory < queue->directory_count;
    return take_waiter(queue, known ? queue->directories[directory] : NULL);
}

void wait_queue_free(struct wait_queue *queue)
{
    free(queue->heap);
    free(queue->directories);
    *queue = (struct wait_queue){0};
}
