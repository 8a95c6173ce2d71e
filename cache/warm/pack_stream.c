/*
 * One thread at a time reads from the pipe. It reads the next frame for itself; or, if it needs one
 * that comes later, those before, unless somebody waits for them, who then reads on. So whoever
 * waits can go on, whatever order the engine's threads come in, and however few there are.
 *
 * All that is kept lies in one file, of which most is a hole: the index (pack_open_stream) from its
 * beginning on; compressed frames at one pack's size and their offset; shared bytes at two packs'
 * size and their position. So there is no table of places, and freeing is punching holes.
 */
#include "cache/warm/pack_stream.h"

#include "cache/pack/pack_internal.h"
#include "cache/util/file.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <time.h>

enum {
    NEAR_FRAMES = 8, /* 32 MiB at most; as many as the engine has in memory */
    NAME_BYTES = 300,
    NO_SHARED = UINT32_MAX,
};

/* Where a frame is. */
enum place {
    PLACE_AHEAD,    /* it has not come */
    PLACE_ARRIVING, /* somebody reads it, or puts away what others need of it */
    PLACE_KEPT,     /* in the file */
    PLACE_PASSED,   /* of it, only shared bytes are in the file, if anything is */
};

/* A thread that waits for a frame. */
struct waiter {
    uint32_t frame;
    struct waiter *next;
};

struct pack_stream {
    struct pack *pack;
    int fd;
    uint64_t bytes_per_s;
    char *whole; /* a frame, decompressed: of the one that reads */
    /* What the index says: */
    const struct pack_variant *variants;
    size_t variant_count;
    const struct pack_frame *frames;
    uint32_t frame_count;
    const struct pack_shared *shared;
    size_t shared_count;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t moved;
    bool reading;
    uint32_t next; /* frame in the pipe */
    uint8_t *places;
    struct waiter *waiters;
    uint32_t *wanted;    /* of each variant: itself, or a later one nearer to the next that is
                            wanted; one more than there are variants */
    uint32_t *last_kept; /* of each variant: a shared range that is kept for it and none behind */
    uint32_t *next_kept; /* of each shared range: another one */
    uint32_t released;   /* variants before this one need nothing any more */
    uint32_t near_end;   /* the first frame that is not near */
    bool near_is_known;
    uint64_t due_ns;             /* CLOCK_MONOTONIC; when the limit lets more be read */
    struct pkgcache_error error; /* nothing more can be read */
};

int pack_stream_new(struct pack *pack, int fd, uint64_t bytes_per_s, struct pack_stream **ret)
{
    struct pack_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return -ENOMEM;
    stream->pack = pack;
    stream->fd = fd;
    stream->bytes_per_s = bytes_per_s;
    stream->variants = pack_variants(pack, &stream->variant_count);
    stream->frames = pack_frames(pack, &stream->frame_count);
    stream->shared = pack_shared(pack, &stream->shared_count);
    stream->whole = malloc(PACK_FRAME_MAX);
    stream->places = calloc((size_t)stream->frame_count + 1, sizeof(*stream->places));
    stream->wanted = calloc(stream->variant_count + 1, sizeof(*stream->wanted));
    stream->last_kept = calloc(stream->variant_count + 1, sizeof(*stream->last_kept));
    stream->next_kept = calloc(stream->shared_count + 1, sizeof(*stream->next_kept));
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->moved, NULL);
    if (!stream->whole || !stream->places || !stream->wanted || !stream->last_kept ||
        !stream->next_kept) {
        pack_stream_free(stream);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i <= stream->variant_count; i++) {
        stream->wanted[i] = MIN(i + 1, (uint32_t)stream->variant_count);
        stream->last_kept[i] = NO_SHARED;
    }
    *ret = stream;
    return 0;
}

void pack_stream_free(struct pack_stream *stream)
{
    if (!stream)
        return;
    assert(!stream->reading && !stream->waiters);
    pthread_cond_destroy(&stream->moved);
    pthread_mutex_destroy(&stream->lock);
    free(stream->whole);
    free(stream->places);
    free(stream->wanted);
    free(stream->last_kept);
    free(stream->next_kept);
    free(stream);
}

/* --- Who needs what: with the lock held ------------------------------------------------------- */

/* The first variant from `variant` on that is wanted; the count of variants: there is none. Paths
 * are halved, as in a union-find. */
static uint32_t find_wanted(struct pack_stream *stream, uint32_t variant)
{
    uint32_t *wanted = stream->wanted;
    while (wanted[variant] != variant) {
        wanted[variant] = wanted[wanted[variant]];
        variant = wanted[variant];
    }
    return variant;
}

static bool is_wanted(struct pack_stream *stream, size_t variant)
{
    return variant < stream->variant_count && stream->wanted[variant] == variant;
}

/* The variant whose frame it is; the count of variants: the one that ends the archive. */
static uint32_t find_owner(const struct pack_stream *stream, uint32_t frame)
{
    uint32_t low = 0;
    uint32_t high = (uint32_t)stream->variant_count;
    while (low < high) { /* the first whose frames end behind it */
        uint32_t middle = low + (high - low) / 2;
        const struct pack_variant *variant = &stream->variants[middle];
        if (variant->first_frame + variant->frame_count > frame)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The first shared range that ends behind a position. */
static size_t find_shared(const struct pack_stream *stream, uint64_t position)
{
    size_t low = 0;
    size_t high = stream->shared_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct pack_shared *range = &stream->shared[middle];
        if (range->position + range->length > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Whether a variant behind `owner` needs a shared range. */
static bool is_needed(struct pack_stream *stream, const struct pack_shared *range, uint32_t owner)
{
    return owner < stream->variant_count && find_wanted(stream, owner + 1) <= range->last_variant;
}

static uint64_t end_of(const struct pack_frame *frame)
{
    return frame->position + frame->size;
}

/* Whether a variant behind its owner needs bytes of a frame. */
static bool is_frame_shared(struct pack_stream *stream, uint32_t number)
{
    const struct pack_frame *frame = &stream->frames[number];
    uint32_t owner = find_owner(stream, number);
    for (size_t i = find_shared(stream, frame->position);
         i < stream->shared_count && stream->shared[i].position < end_of(frame); i++)
        if (is_needed(stream, &stream->shared[i], owner))
            return true;
    return false;
}

/* --- The file --------------------------------------------------------------------------------- */

static uint64_t place_of_frame(const struct pack_stream *stream, uint32_t number)
{
    return pack_size(stream->pack) + stream->frames[number].offset;
}

static uint64_t place_of_position(const struct pack_stream *stream, uint64_t position)
{
    return 2 * pack_size(stream->pack) + position;
}

/* What cannot be freed is, with the file. */
static void punch(const struct pack_stream *stream, uint64_t offset, uint64_t length)
{
    (void)!fallocate(stream->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)length);
}

static void drop_frame(const struct pack_stream *stream, uint32_t number)
{
    punch(stream, place_of_frame(stream, number), stream->frames[number].stored);
    stream->places[number] = PLACE_PASSED;
}

/* The part of a shared range that is in a frame. */
static struct pack_shared clip(const struct pack_shared *range, const struct pack_frame *frame)
{
    uint64_t begin = MAX(range->position, frame->position);
    uint64_t end = MIN(range->position + range->length, end_of(frame));
    return (struct pack_shared){begin, end - begin, range->last_variant};
}

static int refuse_to_keep(const struct pack_stream *stream, struct pkgcache_error *error, int code)
{
    return error_set(error, code, "%s: what later variants need of it cannot be kept: %s",
                     stream->pack->name, strerror(code));
}

/* Keeps of a frame, which is arriving, what later variants need. Without the lock. */
static int keep_shared(struct pack_stream *stream, uint32_t number, const char *bytes,
                       struct pkgcache_error *error)
{
    const struct pack_frame *frame = &stream->frames[number];
    uint32_t owner = find_owner(stream, number);
    for (size_t i = find_shared(stream, frame->position);
         i < stream->shared_count && stream->shared[i].position < end_of(frame); i++) {
        const struct pack_shared part = clip(&stream->shared[i], frame);
        pthread_mutex_lock(&stream->lock);
        bool needed = is_needed(stream, &stream->shared[i], owner);
        if (needed && stream->shared[i].position >= frame->position) { /* not begun before */
            stream->next_kept[i] = stream->last_kept[part.last_variant];
            stream->last_kept[part.last_variant] = (uint32_t)i;
        }
        pthread_mutex_unlock(&stream->lock);
        int result = needed ? file_write_at(stream->fd, bytes + (part.position - frame->position),
                                            part.length, place_of_position(stream, part.position))
                            : 0;
        if (result < 0)
            return refuse_to_keep(stream, error, -result);
    }
    return 0;
}

/* Fills in what is kept of a frame. */
static int load_shared(const struct pack_stream *stream, uint32_t number, char *buffer,
                       struct pkgcache_error *error)
{
    const struct pack_frame *frame = &stream->frames[number];
    int result = 0;
    memset(buffer, 0, frame->size);
    for (size_t i = find_shared(stream, frame->position);
         i < stream->shared_count && stream->shared[i].position < end_of(frame) && result == 0;
         i++) {
        const struct pack_shared part = clip(&stream->shared[i], frame);
        result = pack_read_at(stream->fd, buffer + (part.position - frame->position), part.length,
                              place_of_position(stream, part.position));
        if (result == -EBADMSG) /* it was not kept: the digest will tell */
            result = 0;
    }
    return result < 0 ? refuse_to_keep(stream, error, -result) : 0;
}

/* Frees shared bytes of which all variants that have them are done. With the lock held. */
static void release_shared(struct pack_stream *stream)
{
    uint32_t first = find_wanted(stream, 0);
    for (; stream->released < first; stream->released++) {
        uint32_t i = stream->last_kept[stream->released];
        for (; i != NO_SHARED; i = stream->next_kept[i])
            punch(stream, place_of_position(stream, stream->shared[i].position),
                  stream->shared[i].length);
        stream->last_kept[stream->released] = NO_SHARED;
    }
}

/* --- Variants --------------------------------------------------------------------------------- */

void pack_stream_expect(struct pack_stream *stream, size_t variant)
{
    pthread_mutex_lock(&stream->lock);
    assert(stream->next == 0 && !stream->reading);
    stream->wanted[variant] = (uint32_t)variant;
    stream->near_is_known = false;
    pthread_mutex_unlock(&stream->lock);
}

void pack_stream_settle(struct pack_stream *stream, size_t variant)
{
    const struct pack_variant *described = &stream->variants[variant];
    pthread_mutex_lock(&stream->lock);
    if (is_wanted(stream, variant)) {
        stream->wanted[variant] = (uint32_t)variant + 1;
        stream->near_is_known = false;
        uint32_t end = MIN(described->first_frame + described->frame_count, stream->next);
        for (uint32_t frame = described->first_frame; frame < end; frame++)
            if (stream->places[frame] == PLACE_KEPT && !is_frame_shared(stream, frame))
                drop_frame(stream, frame);
        release_shared(stream);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* The first frame that is not near: so many wanted ones are before it. With the lock held. */
static uint32_t find_near_end(struct pack_stream *stream)
{
    uint32_t frame = stream->next;
    for (unsigned before = 0; before < NEAR_FRAMES && frame < stream->frame_count;) {
        uint32_t owner = find_owner(stream, frame);
        uint32_t next = owner < stream->variant_count ? find_wanted(stream, owner) : owner;
        if (next >= stream->variant_count)
            return stream->frame_count;
        bool passes = next != owner; /* nobody wants it */
        frame = passes ? stream->variants[next].first_frame : frame + 1;
        before += !passes;
    }
    return frame;
}

bool pack_stream_is_near(struct pack_stream *stream, size_t variant)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->near_is_known)
        stream->near_end = find_near_end(stream);
    stream->near_is_known = true;
    bool near = stream->variants[variant].first_frame <= stream->near_end;
    pthread_mutex_unlock(&stream->lock);
    return near;
}

/* --- The pipe --------------------------------------------------------------------------------- */

/* What a thread wants of a frame, and how it reads. */
struct asking {
    struct pack_stream *stream;
    size_t variant;
    uint32_t frame;
    struct pack_decoder *decoder;
    struct copyengine_job *job;
    char *buffer;
    bool stopped; /* its job was */
};

/* So many bytes have arrived, for somebody: who reads goes on, since others wait. */
static int on_arrival(void *context, size_t bytes)
{
    struct asking *asking = context;
    struct pack_stream *stream = asking->stream;
    if (asking->job && !copyengine_supply_moves(asking->job))
        asking->stopped = true;
    if (stream->bytes_per_s == 0)
        return 0;
    uint64_t now_ns = clock_monotonic_ns();
    stream->due_ns = MAX(stream->due_ns, now_ns) + bytes * NS_PER_S / stream->bytes_per_s;
    const uint64_t pause_ns = stream->due_ns - now_ns;
    const struct timespec pause = {(time_t)(pause_ns / NS_PER_S), (long)(pause_ns % NS_PER_S)};
    nanosleep(&pause, NULL);
    return 0;
}

/* Ends the pack before a frame: nothing more can be read. With the lock held. */
static int break_off(struct pack_stream *stream, uint32_t number,
                     const struct pkgcache_error *error)
{
    stream->places[number] = PLACE_AHEAD;
    stream->error = *error;
    pthread_cond_broadcast(&stream->moved);
    return -error->code;
}

/* Puts away what others need of the frame in the decoder, which this thread does not want. Without
 * the lock. Returns where it is then, or -errno. */
static int put_away(const struct asking *asking, uint32_t number, bool for_owner, bool shared,
                    struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    size_t stored;
    if (!for_owner && !shared)
        return PLACE_PASSED;
    if (for_owner) {
        const void *bytes = pack_fetched_bytes(stream->pack, asking->decoder, &stored);
        int result = file_write_at(stream->fd, bytes, stored, place_of_frame(stream, number));
        return result < 0 ? refuse_to_keep(stream, error, -result) : PLACE_KEPT;
    }
    struct pkgcache_error damage;
    /* what is damaged fails those that need it, by their digests */
    if (pack_decode_frame(stream->pack, number, asking->decoder, stream->whole, &damage) < 0)
        return PLACE_PASSED;
    int result = keep_shared(stream, number, stream->whole, error);
    return result < 0 ? result : PLACE_PASSED;
}

/*
 * Reads the next frame, whosever it is. With the lock held, which it lets go of meanwhile. If it is
 * the one that is asked for, it stays in the decoder, and is arriving. Returns 0 or -errno.
 */
static int read_next(struct asking *asking, struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    uint32_t number = stream->next;
    bool own = number == asking->frame;
    stream->reading = true;
    stream->places[number] = PLACE_ARRIVING;
    pthread_mutex_unlock(&stream->lock);
    int result = pack_fetch_frame(stream->pack, number, asking->decoder, on_arrival, asking, error);
    uint32_t owner = find_owner(stream, number);
    pthread_mutex_lock(&stream->lock);
    bool for_owner = is_wanted(stream, owner) && !(own && owner == asking->variant);
    bool shared = !own && !for_owner && is_frame_shared(stream, number);
    pthread_mutex_unlock(&stream->lock);
    int place = result;
    if (result == 0)
        place = put_away(asking, number, for_owner, shared, error);
    pthread_mutex_lock(&stream->lock);
    stream->reading = false;
    if (place < 0)
        return break_off(stream, number, error);
    stream->next++;
    stream->near_is_known = false;
    if (!own || for_owner)
        stream->places[number] = (uint8_t)place;
    if (place == PLACE_KEPT && !is_wanted(stream, owner) && !is_frame_shared(stream, number))
        drop_frame(stream, number); /* it was given up meanwhile */
    pthread_cond_broadcast(&stream->moved);
    return 0;
}

static bool is_waited_for(const struct pack_stream *stream, uint32_t frame)
{
    for (const struct waiter *waiter = stream->waiters; waiter; waiter = waiter->next)
        if (waiter->frame == frame)
            return true;
    return false;
}

/* Waits until something has arrived, or somebody has left. With the lock held. */
static void wait_for_others(struct asking *asking)
{
    struct pack_stream *stream = asking->stream;
    struct waiter waiter = {asking->frame, stream->waiters};
    uint32_t next = stream->next;
    stream->waiters = &waiter;
    pthread_cond_wait(&stream->moved, &stream->lock);
    struct waiter **link = &stream->waiters;
    while (*link != &waiter)
        link = &(*link)->next;
    *link = waiter.next;
    if (stream->next > next && !copyengine_supply_moves(asking->job))
        asking->stopped = true; /* a frame more before its own is there, which is progress */
}

/*
 * Waits for a frame until it is this thread's turn to take it. With the lock held. Returns 1: it is
 * in the decoder, fetched, and arriving; 0: it has a place; or -errno.
 */
static int await_frame(struct asking *asking, struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    while (stream->places[asking->frame] < PLACE_KEPT) {
        bool arriving = stream->places[asking->frame] == PLACE_ARRIVING;
        if (stream->error.code && !arriving) {
            *error = stream->error;
            return -error->code;
        }
        bool others = arriving || stream->reading ||
                      (stream->next != asking->frame && is_waited_for(stream, stream->next));
        uint32_t number = stream->next;
        int result = 0;
        if (others)
            wait_for_others(asking);
        else
            result = read_next(asking, error);
        if (result < 0)
            return result;
        if (!others && number == asking->frame && stream->places[number] == PLACE_ARRIVING)
            return 1;
        if (asking->stopped) {
            pthread_cond_broadcast(&stream->moved); /* somebody else reads on */
            return error_set(error, ECANCELED, "the copy has ended");
        }
    }
    return 0;
}

/* The frame is in the decoder: fills the buffer, and keeps what later variants need if that is only
 * known here. Without the lock. */
static int take_frame(const struct asking *asking, bool keep, struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    int result =
        pack_decode_frame(stream->pack, asking->frame, asking->decoder, asking->buffer, error);
    if (result == 0 && keep)
        result = keep_shared(stream, asking->frame, asking->buffer, error);
    return result;
}

/* A frame that is in the file. With the lock held, which it lets go of meanwhile. Returns 1: the
 * last one that needed it has freed it meanwhile, so what was read may be holes; 0; or -errno. */
static int take_kept(const struct asking *asking, uint32_t owner, struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    uint32_t number = asking->frame;
    bool is_last = owner == asking->variant || !is_wanted(stream, owner);
    if (is_last)
        stream->places[number] = PLACE_ARRIVING; /* others wait until what they need is kept */
    pthread_mutex_unlock(&stream->lock);
    int result = pack_refetch_frame(stream->pack, number, asking->decoder, stream->fd,
                                    place_of_frame(stream, number), error);
    if (result == 0)
        result = take_frame(asking, is_last, error);
    pthread_mutex_lock(&stream->lock);
    if (!is_last)
        return stream->places[number] == PLACE_PASSED ? 1 : result;
    drop_frame(stream, number);
    pthread_cond_broadcast(&stream->moved);
    return result;
}

/* Takes what is there of a frame that has passed. With the lock held, as take_kept. */
static int take_passed(const struct asking *asking, bool is_owner, struct pkgcache_error *error)
{
    struct pack_stream *stream = asking->stream;
    char name[NAME_BYTES];
    if (is_owner)
        return error_set(
            error, ESTALE,
            "%s: %s: it was read once, and cannot be read again: pipe the pack in once "
            "more",
            stream->pack->name,
            pack_name_variant(stream->variants[asking->variant].handle, asking->variant, name,
                              sizeof(name)));
    pthread_mutex_unlock(&stream->lock);
    int result = load_shared(stream, asking->frame, asking->buffer, error);
    pthread_mutex_lock(&stream->lock);
    return result;
}

int pack_stream_read(struct pack_stream *stream, size_t variant, uint32_t frame,
                     struct pack_decoder *decoder, struct copyengine_job *job, void *buffer,
                     struct pkgcache_error *error)
{
    struct asking asking = {.stream = stream,
                            .variant = variant,
                            .frame = frame,
                            .decoder = decoder,
                            .job = job,
                            .buffer = buffer};
    uint32_t owner = find_owner(stream, frame);
    pthread_mutex_lock(&stream->lock);
    int result = await_frame(&asking, error);
    if (result == 1) {
        pthread_mutex_unlock(&stream->lock);
        result = take_frame(&asking, true, error);
        pthread_mutex_lock(&stream->lock);
        stream->places[frame] = PLACE_PASSED;
        pthread_cond_broadcast(&stream->moved);
    } else if (result == 0) {
        result = stream->places[frame] == PLACE_KEPT ? take_kept(&asking, owner, error) : 1;
        if (result == 1)
            result = take_passed(&asking, owner == variant, error);
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}

int pack_stream_finish(struct pack_stream *stream, int cancel_fd, struct pkgcache_error *error)
{
    struct pack_decoder *decoder = pack_decoder_new();
    struct asking asking = {.stream = stream, .decoder = decoder};
    int result = decoder ? 0 : error_set(error, ENOMEM, "%s: out of memory", stream->pack->name);
    bool broken = stream->error.code;
    pack_cancel_by(stream->pack, cancel_fd);
    for (; result == 0 && !broken && stream->next < stream->frame_count; stream->next++)
        result = pack_fetch_frame(stream->pack, stream->next, decoder, on_arrival, &asking, error);
    pack_decoder_free(decoder);
    if (result == 0 && !broken)
        result = pack_finish_stream(stream->pack, error);
    return result;
}
