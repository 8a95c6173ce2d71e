/* The bandwidth cap. Says until when to wait; waiting is its caller's business. */
#include "engine/limit.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>

enum {
    PIECES_PER_S = 20,
    PIECE_MIN_BYTES = 4096,
};

void limit_init(struct limit *limit, uint64_t bytes_per_s)
{
    pthread_mutex_init(&limit->lock, NULL);
    limit->bytes_per_s = bytes_per_s;
    limit->free_at_ns = 0;
}

void limit_destroy(struct limit *limit)
{
    pthread_mutex_destroy(&limit->lock);
}

uint64_t limit_take(struct limit *limit, uint64_t bytes)
{
    if (limit->bytes_per_s == 0)
        return 0;
    uint64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&limit->lock);
    uint64_t start_ns = MAX(limit->free_at_ns, now_ns);
    limit->free_at_ns =
        start_ns + (uint64_t)((double)bytes / (double)limit->bytes_per_s * NS_PER_S);
    assert(limit->free_at_ns >= start_ns);
    pthread_mutex_unlock(&limit->lock);
    return start_ns > now_ns ? start_ns : 0;
}

uint64_t limit_piece(const struct limit *limit, uint64_t wanted)
{
    if (limit->bytes_per_s == 0)
        return wanted;
    return MIN(wanted, MAX(limit->bytes_per_s / PIECES_PER_S, (uint64_t)PIECE_MIN_BYTES));
}
