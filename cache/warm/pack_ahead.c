/* For each frame, how much was asked for, and whether it is to come. */
#include "cache/warm/pack_ahead.h"

#include "cache/pack/pack_internal.h"
#include "engine/compiler.h"

#include <fcntl.h>

enum {
    PIECE_BYTES = 128 << 10, /* of one call: where the queue of requests is full, it waits */
    PIECES_NEXT = 2,         /* that are asked for when one has arrived */
    WINDOW_BYTES = 16 << 20, /* that were asked for and have not arrived */
    NEAR_BYTES = 32 << 20,   /* of the pack, in which variants are under way */
};

enum {
    FRAME_IS_EXPECTED = 1, /* its variant is wanted, and it was not read yet */
    FRAME_IS_WANTED = 2,   /* it will be read */
    FRAME_IS_OVER = 4,     /* it was, or will not be */
};

struct pack_ahead {
    const struct pack *pack;
    int fd;
    const struct pack_variant *variants;
    const struct pack_frame *frames;
    uint32_t frame_count;

    pthread_mutex_t lock; /* of all that follows */
    uint8_t *states;
    uint32_t *asked;   /* bytes of each frame */
    uint32_t expected; /* no frame before this one is expected */
    uint32_t next;     /* nothing before this one is to be asked for */
    uint64_t flying;   /* bytes that were asked for, of frames that are not over */
};

int pack_ahead_new(const struct pack *pack, int fd, struct pack_ahead **ret)
{
    size_t variant_count;
    struct pack_ahead *ahead = calloc(1, sizeof(*ahead));
    if (!ahead)
        return -ENOMEM;
    ahead->pack = pack;
    ahead->fd = fd;
    ahead->variants = pack_variants(pack, &variant_count);
    ahead->frames = pack_frames(pack, &ahead->frame_count);
    ahead->states = calloc((size_t)ahead->frame_count + 1, sizeof(*ahead->states));
    ahead->asked = calloc((size_t)ahead->frame_count + 1, sizeof(*ahead->asked));
    pthread_mutex_init(&ahead->lock, NULL);
    if (!ahead->states || !ahead->asked) {
        pack_ahead_free(ahead);
        return -ENOMEM;
    }
    *ret = ahead;
    return 0;
}

void pack_ahead_free(struct pack_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->states);
    free(ahead->asked);
    free(ahead);
}

/* --- What is wanted --------------------------------------------------------------------------- */

void pack_ahead_expect(struct pack_ahead *ahead, size_t variant)
{
    const struct pack_variant *described = &ahead->variants[variant];
    pthread_mutex_lock(&ahead->lock);
    for (uint32_t i = 0; i < described->frame_count; i++)
        ahead->states[described->first_frame + i] |= FRAME_IS_EXPECTED;
    ahead->expected = MIN(ahead->expected, described->first_frame);
    pthread_mutex_unlock(&ahead->lock);
}

/* With the lock held. */
static void end_frame(struct pack_ahead *ahead, uint32_t frame)
{
    if (!(ahead->states[frame] & FRAME_IS_OVER))
        ahead->flying -= ahead->asked[frame];
    ahead->states[frame] = FRAME_IS_OVER;
}

void pack_ahead_settle(struct pack_ahead *ahead, size_t variant)
{
    const struct pack_variant *described = &ahead->variants[variant];
    pthread_mutex_lock(&ahead->lock);
    for (uint32_t i = 0; i < described->frame_count; i++)
        ahead->states[described->first_frame + i] &= (uint8_t)~FRAME_IS_EXPECTED;
    pthread_mutex_unlock(&ahead->lock);
}

bool pack_ahead_is_near(struct pack_ahead *ahead, size_t variant)
{
    uint32_t first = ahead->variants[variant].first_frame;
    pthread_mutex_lock(&ahead->lock);
    while (ahead->expected < ahead->frame_count &&
           !(ahead->states[ahead->expected] & FRAME_IS_EXPECTED))
        ahead->expected++;
    bool near = first <= ahead->expected ||
                ahead->frames[first].offset < ahead->frames[ahead->expected].offset + NEAR_BYTES;
    pthread_mutex_unlock(&ahead->lock);
    return near;
}

void pack_ahead_want(struct pack_ahead *ahead, const uint32_t *frames, size_t count)
{
    pthread_mutex_lock(&ahead->lock);
    for (size_t i = 0; i < count; i++) {
        if (ahead->states[frames[i]] & FRAME_IS_OVER)
            continue; /* it was read for another variant, and is in memory perhaps */
        ahead->states[frames[i]] |= FRAME_IS_WANTED;
        ahead->next = MIN(ahead->next, frames[i]);
    }
    pthread_mutex_unlock(&ahead->lock);
}

void pack_ahead_forget(struct pack_ahead *ahead, const uint32_t *frames, size_t count)
{
    pthread_mutex_lock(&ahead->lock);
    for (size_t i = 0; i < count; i++)
        end_frame(ahead, frames[i]);
    pthread_mutex_unlock(&ahead->lock);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static bool is_to_be_asked_for(const struct pack_ahead *ahead, uint32_t frame)
{
    return (ahead->states[frame] & FRAME_IS_WANTED) &&
           ahead->asked[frame] < ahead->frames[frame].stored;
}

/* The first piece that was not asked for. Returns its bytes; 0: there is none. */
static size_t claim(struct pack_ahead *ahead, uint32_t last, uint64_t flying_max,
                    uint64_t *ret_offset)
{
    size_t length = 0;
    pthread_mutex_lock(&ahead->lock);
    while (ahead->next < ahead->frame_count && !is_to_be_asked_for(ahead, ahead->next))
        ahead->next++;
    uint32_t frame = ahead->next;
    if (frame < ahead->frame_count && frame <= last && ahead->flying < flying_max) {
        const struct pack_frame *described = &ahead->frames[frame];
        length = MIN(described->stored - ahead->asked[frame], (size_t)PIECE_BYTES);
        *ret_offset = ahead->pack->frames_offset + described->offset + ahead->asked[frame];
        ahead->asked[frame] += (uint32_t)length;
        ahead->flying += length;
    }
    pthread_mutex_unlock(&ahead->lock);
    return length;
}

static bool ask(struct pack_ahead *ahead, uint32_t last, uint64_t flying_max)
{
    uint64_t offset;
    size_t length = claim(ahead, last, flying_max, &offset);
    if (length > 0)
        (void)posix_fadvise(ahead->fd, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
    return length > 0;
}

bool pack_ahead_ask_up_to(struct pack_ahead *ahead, uint32_t frame)
{
    return ask(ahead, frame, UINT64_MAX);
}

void pack_ahead_ask_next(struct pack_ahead *ahead)
{
    for (int i = 0; i < PIECES_NEXT; i++)
        if (!ask(ahead, UINT32_MAX, WINDOW_BYTES))
            return;
}
