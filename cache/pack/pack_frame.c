/* Reading frames with files, and what follows them. */
#include "cache/pack/pack_internal.h"
#include "cache/pack/zstd_frame.h"
#include "engine/compiler.h"

#include <assert.h>

enum {
    NAME_BYTES = 300,
    PIECE_BYTES = 128 << 10, /* that are waited for in one call: ten frames side by side, 60 s each,
                                are 22 KB/s */
    KEPT_BYTES = 256 << 10,  /* of room, that an idle decoder keeps */
};

struct pack_decoder {
    ZSTD_DCtx *context;
    uint32_t number; /* of the frame that is in the buffer */
    bool fetched;
    char *compressed;
    size_t capacity;
};

struct pack_decoder *pack_decoder_new(void)
{
    struct pack_decoder *decoder = calloc(1, sizeof(*decoder));
    if (!decoder)
        return NULL;
    decoder->context = ZSTD_createDCtx();
    if (decoder->context)
        return decoder;
    free(decoder);
    return NULL;
}

void pack_decoder_free(struct pack_decoder *decoder)
{
    if (!decoder)
        return;
    ZSTD_freeDCtx(decoder->context);
    free(decoder->compressed);
    free(decoder);
}

/* Gives up the frame that was fetched, and a room that is larger than wanted. */
static void give_up_frame(struct pack_decoder *decoder, size_t wanted)
{
    decoder->fetched = false;
    if (decoder->capacity <= wanted)
        return;
    free(STEAL(decoder->compressed));
    decoder->capacity = 0;
}

/* Makes room for a frame. Returns 0 or -ENOMEM. */
static int make_room(struct pack_decoder *decoder, size_t stored)
{
    give_up_frame(decoder, MAX(stored, (size_t)KEPT_BYTES));
    if (stored <= decoder->capacity)
        return 0;
    free(decoder->compressed);
    decoder->compressed = malloc(stored);
    decoder->capacity = decoder->compressed ? stored : 0;
    return decoder->compressed ? 0 : -ENOMEM;
}

/* Says what is wrong with a frame, and whose it is. */
static int refuse_frame(const struct pack *pack, uint32_t number, struct pkgcache_error *error,
                        int code, const char *why)
{
    char name[NAME_BYTES];
    for (size_t i = 0; i < pack->variant_count; i++) {
        const struct pack_variant *variant = &pack->variants[i];
        if (number >= variant->first_frame && number - variant->first_frame < variant->frame_count)
            return error_set(error, code, "%s: %s: frame %u of the pack %s", pack->name,
                             pack_name_variant(variant->handle, i, name, sizeof(name)), number,
                             why);
    }
    return error_set(error, code, "%s: frame %u of the pack %s", pack->name, number, why);
}

/* Reads a frame's bytes, and tells when some are there. Returns 0 or -errno. */
static int fetch_pieces(const struct pack *pack, const struct pack_frame *frame, char *ret,
                        int (*on_arrival)(void *context, size_t bytes), void *context)
{
    int result = 0;
    for (size_t done = 0; done < frame->stored && result == 0;) {
        size_t length = MIN(frame->stored - done, (size_t)PIECE_BYTES);
        result = pack->stream ? pack_take_bytes((struct pack *)pack, ret + done, length)
                              : pack_read_at(pack->fd, ret + done, length,
                                             pack->frames_offset + frame->offset + done);
        done += length;
        if (result == 0 && on_arrival)
            result = on_arrival(context, length);
    }
    return result;
}

int pack_fetch_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                     int (*on_arrival)(void *context, size_t bytes), void *context,
                     struct pkgcache_error *error)
{
    const struct pack_frame *frame = &pack->frames[number];
    struct pack *stream = (struct pack *)pack; /* where a stream is changes as it is read */
    if (pack->stream && number != pack->next_frame)
        return refuse_frame(pack, number, error, ESPIPE,
                            "is not the next one, and the pack can only be read in order");
    int result = make_room(decoder, frame->stored);
    if (result == 0)
        result = fetch_pieces(pack, frame, decoder->compressed, on_arrival, context);
    if (result == -EBADMSG)
        return refuse_frame(pack, number, error, EBADMSG,
                            "is cut off: the pack ends, or changed while it was read; copy or make "
                            "it again");
    if (result == -ECANCELED)
        return error_set(error, ECANCELED, "interrupted");
    if (result < 0)
        return refuse_frame(pack, number, error, -result, strerror(-result));
    if (pack->stream)
        stream->next_frame++;
    decoder->number = number;
    decoder->fetched = true;
    return 0;
}

const void *pack_fetched_bytes(const struct pack *pack, const struct pack_decoder *decoder,
                               size_t *ret_length)
{
    assert(decoder->fetched);
    *ret_length = pack->frames[decoder->number].stored;
    return decoder->compressed;
}

int pack_refetch_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                       int fd, uint64_t offset, struct pkgcache_error *error)
{
    int result = make_room(decoder, pack->frames[number].stored);
    if (result == 0)
        result = pack_read_at(fd, decoder->compressed, pack->frames[number].stored, offset);
    if (result < 0)
        return refuse_frame(pack, number, error, -result, strerror(-result));
    decoder->number = number;
    decoder->fetched = true;
    return 0;
}

int pack_decode_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                      void *buffer, struct pkgcache_error *error)
{
    const struct pack_frame *frame = &pack->frames[number];
    if (!decoder->fetched || decoder->number != number)
        return refuse_frame(pack, number, error, EINVAL, "was not fetched");
    int result = zstd_frame_decompress(decoder->context, decoder->compressed, frame->stored, buffer,
                                       frame->size);
    give_up_frame(decoder, KEPT_BYTES);
    if (result == -EBADMSG)
        return refuse_frame(pack, number, error, EBADMSG,
                            "is damaged; copy or make the pack again");
    return result < 0 ? refuse_frame(pack, number, error, -result, strerror(-result)) : 0;
}

/* Whether the table says what the index says: of the frames of the index itself, only how large
 * they are together. */
static bool is_table(const struct pack *pack, const uint8_t *table)
{
    size_t count = seek_table_count(table, pack->tail_length);
    uint64_t index_stored = 0;
    struct frames_size size;
    if (count < pack->frame_count)
        return false;
    for (size_t i = 0; i < count - pack->frame_count; i++)
        index_stored += seek_table_entry(table, i).stored;
    for (uint32_t i = 0; i < pack->frame_count; i++) {
        size = seek_table_entry(table, count - pack->frame_count + i);
        if (size.stored != pack->frames[i].stored || size.size != pack->frames[i].size)
            return false;
    }
    return index_stored == pack->frames_offset;
}

/* Says why the end of a stream cannot be read. */
static int fail_end(const struct pack *pack, struct pkgcache_error *error, int result)
{
    return result == -ECANCELED ? error_set(error, ECANCELED, "interrupted")
                                : pack_fail_read(pack, error, -result);
}

int pack_finish_stream(struct pack *pack, struct pkgcache_error *error)
{
    CLEANUP_FREE uint8_t *table = malloc(pack->tail_length);
    char more;
    if (!table)
        return error_set(error, ENOMEM, "%s: out of memory", pack->name);
    int result = pack_take_bytes(pack, table, pack->tail_length);
    if (result < 0)
        return fail_end(pack, error, result);
    if (!is_table(pack, table))
        return pack_refuse(pack, error, "its table of frames is damaged; copy or make it again");
    result = pack_take_bytes(pack, &more, 1);
    if (result == 0)
        return pack_refuse(pack, error, "something follows its last frame");
    return result == -EBADMSG ? 0 : fail_end(pack, error, result);
}
