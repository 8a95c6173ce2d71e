/*
 * Compressing frames. The thread that adds bytes fills a block; full blocks wait for a thread that
 * compresses them. Who has compressed the block whose turn it is writes it, and all behind it that
 * are ready. There are as many blocks as bound the memory.
 */
#include "cache/packing/frames.h"

#include "cache/pack/zstd_frame.h"
#include "cache/util/file.h"
#include "engine/compiler.h"
#include "engine/processors.h"
#include "engine/thread.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

/* 8 blocks of 4 MiB, twice: as they are and compressed. */
enum { THREADS_MAX = 8, BLOCKS_MAX = THREADS_MAX + 1 };

enum {
    OWN_FRAME_BYTES = 48 << 10,           /* a file of so many shares its frames with few others: */
    SPARE_FRAME_BYTES = 8 << 10,          /* fewer than so many before it */
    CUT_FRAMES_MAX = PACK_FRAMES_MAX / 2, /* from then on only full frames end */
};

enum block_state {
    BLOCK_FREE,
    BLOCK_FILLING,
    BLOCK_WAITING,
    BLOCK_COMPRESSING,
    BLOCK_READY, /* to be written */
};

struct block {
    enum block_state state;
    uint32_t number; /* of the frame */
    size_t size;
    size_t stored;
    char *bytes; /* PACK_FRAME_MAX */
    char *compressed;
};

struct frames {
    int fd;
    int level;
    uint64_t position;
    struct block *filling; /* NULL: none has a byte yet */
    uint32_t count;        /* of frames that were ended */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;
    size_t block_count;
    struct block blocks[BLOCKS_MAX];
    struct frames_size *sizes; /* of those that were written */
    size_t sizes_capacity;
    uint32_t written;
    uint64_t offset; /* in the file, of the next */
    bool writing;
    bool ending;
    int error;
};

static struct block *find_block(struct frames *frames, enum block_state state, uint32_t number)
{
    for (size_t i = 0; i < frames->block_count; i++)
        if (frames->blocks[i].state == state &&
            (state != BLOCK_READY || frames->blocks[i].number == number))
            return &frames->blocks[i];
    return NULL;
}

/* The block that waits and has the lowest number. */
static struct block *find_waiting(struct frames *frames)
{
    struct block *found = NULL;
    for (size_t i = 0; i < frames->block_count; i++) {
        struct block *block = &frames->blocks[i];
        if (block->state == BLOCK_WAITING && (!found || block->number < found->number))
            found = block;
    }
    return found;
}

/* With the lock held. */
static int note_size(struct frames *frames, const struct block *block)
{
    if (frames->written == frames->sizes_capacity) {
        size_t capacity = frames->sizes_capacity ? 2 * frames->sizes_capacity : 256;
        struct frames_size *larger = realloc(frames->sizes, capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        frames->sizes = larger;
        frames->sizes_capacity = capacity;
    }
    frames->sizes[frames->written++] =
        (struct frames_size){(uint32_t)block->stored, (uint32_t)block->size};
    frames->offset += block->stored;
    return 0;
}

/* Writes all blocks whose turn it is. With the lock held, which it gives up while it writes. */
static void write_ready(struct frames *frames)
{
    struct block *block;
    if (frames->writing)
        return;
    frames->writing = true;
    while ((block = find_block(frames, BLOCK_READY, frames->written))) {
        int result = frames->error;
        uint64_t offset = frames->offset;
        pthread_mutex_unlock(&frames->lock);
        if (result == 0)
            result = file_write_at(frames->fd, block->compressed, block->stored, offset);
        pthread_mutex_lock(&frames->lock);
        if (result == 0)
            result = note_size(frames, block);
        if (result < 0) {
            frames->error = frames->error ? frames->error : result;
            frames->written++; /* so that the next ones have their turn, and go */
        }
        block->state = BLOCK_FREE;
        pthread_cond_broadcast(&frames->changed);
    }
    frames->writing = false;
}

static void *compress_main(void *argument)
{
    struct frames *frames = argument;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    pthread_mutex_lock(&frames->lock);
    for (;;) {
        struct block *block = find_waiting(frames);
        if (!block && frames->ending)
            break;
        if (!block) {
            pthread_cond_wait(&frames->changed, &frames->lock);
            continue;
        }
        block->state = BLOCK_COMPRESSING;
        pthread_mutex_unlock(&frames->lock);
        int64_t stored = zstd_frame_compress(context, frames->level, block->bytes, block->size,
                                             block->compressed);
        pthread_mutex_lock(&frames->lock);
        if (stored < 0 && frames->error == 0)
            frames->error = (int)stored;
        block->stored = stored < 0 ? 0 : (size_t)stored;
        block->state = BLOCK_READY;
        write_ready(frames);
    }
    pthread_mutex_unlock(&frames->lock);
    ZSTD_freeCCtx(context);
    return NULL;
}

int frames_new(int fd, int level, struct frames **ret)
{
    struct frames *frames = calloc(1, sizeof(*frames));
    cpu_set_t set;
    if (!frames)
        return -ENOMEM;
    frames->fd = fd;
    frames->level = level;
    pthread_mutex_init(&frames->lock, NULL);
    pthread_cond_init(&frames->changed, NULL);
    size_t wanted = MIN(processors_find(&set), THREADS_MAX);
    frames->block_count = wanted + 1;
    int result = 0;
    for (size_t i = 0; i < frames->block_count; i++) {
        frames->blocks[i].bytes = malloc(PACK_FRAME_MAX);
        frames->blocks[i].compressed = malloc(ZSTD_compressBound(PACK_FRAME_MAX));
        if (!frames->blocks[i].bytes || !frames->blocks[i].compressed)
            result = -ENOMEM;
    }
    for (; result == 0 && frames->thread_count < wanted; frames->thread_count++) {
        int code = thread_start(&frames->threads[frames->thread_count], compress_main, frames);
        if (code != 0 && frames->thread_count == 0)
            result = -code;
        if (code != 0)
            break;
    }
    if (result < 0)
        frames_free(frames);
    else
        *ret = frames;
    return result;
}

/* Takes a block to fill. Returns 0 or -errno. */
static int take_block(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    while (frames->error == 0 && !(frames->filling = find_block(frames, BLOCK_FREE, 0)))
        pthread_cond_wait(&frames->changed, &frames->lock);
    int result = frames->error;
    if (result == 0) {
        frames->filling->state = BLOCK_FILLING;
        frames->filling->size = 0;
    }
    pthread_mutex_unlock(&frames->lock);
    return result;
}

int frames_cut(struct frames *frames)
{
    struct block *block = frames->filling;
    if (!block || block->size == 0)
        return 0;
    if (frames->count == PACK_FRAMES_MAX)
        return -EFBIG;
    pthread_mutex_lock(&frames->lock);
    int result = frames->error;
    block->number = frames->count++;
    block->state = BLOCK_WAITING;
    frames->filling = NULL;
    pthread_cond_broadcast(&frames->changed);
    pthread_mutex_unlock(&frames->lock);
    return result;
}

int frames_cut_for(struct frames *frames, uint64_t bytes)
{
    size_t begun = frames->filling ? frames->filling->size : 0;
    bool ends = bytes >= OWN_FRAME_BYTES && begun >= SPARE_FRAME_BYTES;
    return ends && frames->count < CUT_FRAMES_MAX ? frames_cut(frames) : 0;
}

int frames_add(struct frames *frames, const void *bytes, size_t length)
{
    int result = 0;
    while (length > 0 && result == 0) {
        if (!frames->filling && (result = take_block(frames)) < 0)
            break;
        struct block *block = frames->filling;
        size_t fits = MIN(length, PACK_FRAME_MAX - block->size);
        memcpy(block->bytes + block->size, bytes, fits);
        block->size += fits;
        frames->position += fits;
        bytes = (const char *)bytes + fits;
        length -= fits;
        if (block->size == PACK_FRAME_MAX)
            result = frames_cut(frames);
    }
    return result;
}

uint64_t frames_position(const struct frames *frames)
{
    return frames->position;
}

uint32_t frames_count(const struct frames *frames)
{
    return frames->count;
}

int frames_mark(struct frames *frames, struct frames_mark *ret)
{
    *ret = (struct frames_mark){.count = frames->count,
                                .used = frames->filling ? frames->filling->size : 0,
                                .position = frames->position};
    if (ret->used == 0)
        return 0;
    ret->bytes = malloc(ret->used);
    if (!ret->bytes)
        return -ENOMEM;
    assert(frames->filling);
    memcpy(ret->bytes, frames->filling->bytes, ret->used);
    return 0;
}

/* Waits until all frames that were ended are written. */
static int drain(struct frames *frames)
{
    pthread_mutex_lock(&frames->lock);
    while (frames->written < frames->count)
        pthread_cond_wait(&frames->changed, &frames->lock);
    while (frames->writing)
        pthread_cond_wait(&frames->changed, &frames->lock);
    int result = frames->error;
    pthread_mutex_unlock(&frames->lock);
    return result;
}

int frames_return(struct frames *frames, const struct frames_mark *mark)
{
    int result = 0;
    if (frames->count > mark->count) {
        result = drain(frames);
        if (result < 0)
            return result;
        pthread_mutex_lock(&frames->lock);
        while (frames->written > mark->count)
            frames->offset -= frames->sizes[--frames->written].stored;
        pthread_mutex_unlock(&frames->lock);
        frames->count = mark->count;
    }
    if (!frames->filling && mark->used > 0 && (result = take_block(frames)) < 0)
        return result;
    if (frames->filling) {
        if (mark->used > 0)
            memcpy(frames->filling->bytes, mark->bytes, mark->used);
        frames->filling->size = mark->used;
    }
    frames->position = mark->position;
    return 0;
}

void frames_forget_mark(struct frames_mark *mark)
{
    free(mark->bytes);
    mark->bytes = NULL;
}

int frames_end(struct frames *frames, const struct frames_size **ret, uint32_t *ret_count)
{
    int result = frames_cut(frames);
    int drained = drain(frames);
    if (drained == 0 && ftruncate(frames->fd, (off_t)frames->offset) < 0) /* what was taken back */
        drained = -errno;
    *ret = frames->sizes;
    *ret_count = frames->written;
    return result < 0 ? result : drained;
}

void frames_free(struct frames *frames)
{
    if (!frames)
        return;
    pthread_mutex_lock(&frames->lock);
    frames->ending = true;
    if (frames->error == 0)
        frames->error = -ECANCELED; /* what waits is not written any more */
    pthread_cond_broadcast(&frames->changed);
    pthread_mutex_unlock(&frames->lock);
    for (size_t i = 0; i < frames->thread_count; i++)
        pthread_join(frames->threads[i], NULL);
    for (size_t i = 0; i < frames->block_count; i++) {
        free(frames->blocks[i].bytes);
        free(frames->blocks[i].compressed);
    }
    pthread_cond_destroy(&frames->changed);
    pthread_mutex_destroy(&frames->lock);
    free(frames->sizes);
    free(frames);
}
