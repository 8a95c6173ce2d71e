/* A binary heap by deadline, and a list for each directory. */
#include "cache/warm/waiting.h"

#include "engine/compiler.h"

#include <stdbool.h>
#include <string.h>

static void put(struct waiting *waiting, struct waiter *waiter, size_t place)
{
    waiting->heap[place] = waiter;
    waiter->place = place;
}

static void rise(struct waiting *waiting, struct waiter *waiter, size_t place)
{
    for (; place > 1; place /= 2) {
        struct waiter *above = waiting->heap[place / 2];
        if (above->deadline_ns <= waiter->deadline_ns)
            break;
        put(waiting, above, place);
    }
    put(waiting, waiter, place);
}

static void sink(struct waiting *waiting, struct waiter *waiter, size_t place)
{
    for (size_t below; (below = 2 * place) <= waiting->count; place = below) {
        if (below < waiting->count &&
            waiting->heap[below + 1]->deadline_ns < waiting->heap[below]->deadline_ns)
            below++;
        if (waiter->deadline_ns <= waiting->heap[below]->deadline_ns)
            break;
        put(waiting, waiting->heap[below], place);
    }
    put(waiting, waiter, place);
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

int waiting_add(struct waiting *waiting, struct waiter *waiter)
{
    int result = grow(&waiting->heap, &waiting->capacity, waiting->count + 2);
    if (result == 0 && waiter->directory >= 0)
        result =
            grow(&waiting->directories, &waiting->directory_count, (size_t)waiter->directory + 1);
    if (result < 0)
        return result;
    rise(waiting, waiter, ++waiting->count);
    if (waiter->directory < 0)
        return 0;
    struct waiter **first = &waiting->directories[waiter->directory];
    waiter->previous = NULL;
    waiter->next = *first;
    if (*first)
        (*first)->previous = waiter;
    *first = waiter;
    return 0;
}

void waiting_remove(struct waiting *waiting, struct waiter *waiter)
{
    size_t place = waiter->place;
    struct waiter *last = waiting->heap[waiting->count--];
    waiter->place = 0;
    if (last != waiter) { /* fills the gap */
        rise(waiting, last, place);
        sink(waiting, last, last->place);
    }
    if (waiter->directory < 0)
        return;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        waiting->directories[waiter->directory] = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
}

uint64_t waiting_deadline_ns(const struct waiting *waiting)
{
    return waiting->count > 0 ? waiting->heap[1]->deadline_ns : UINT64_MAX;
}

static struct waiter *take(struct waiting *waiting, struct waiter *waiter)
{
    if (waiter)
        waiting_remove(waiting, waiter);
    return waiter;
}

struct waiter *waiting_take_due(struct waiting *waiting, uint64_t now_ns)
{
    return take(waiting, waiting->count > 0 && waiting->heap[1]->deadline_ns <= now_ns
                             ? waiting->heap[1]
                             : NULL);
}

struct waiter *waiting_take_of(struct waiting *waiting, int directory)
{
    bool known = directory >= 0 && (size_t)directory < waiting->directory_count;
    return take(waiting, known ? waiting->directories[directory] : NULL);
}

void waiting_free(struct waiting *waiting)
{
    free(waiting->heap);
    free(waiting->directories);
    *waiting = (struct waiting){0};
}
