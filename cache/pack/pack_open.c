/*
 * Opening packs. The head of the index is read from the beginning of the file, frame by frame,
 * until its last record. Everything that follows has a size that the head gives, and a file that
 * has another size as a whole is not opened.
 */
#include "cache/pack/pack_reader.h"

#include "cache/pack/pack_head.h"
#include "cache/pack/pack_internal.h"
#include "cache/pack/zstd_frame.h"
#include "cache/util/file.h"
#include "engine/compiler.h"

#include <assert.h>
#include <poll.h>
#include <sys/stat.h>
#include <zstd_errors.h>

enum { INPUT_BYTES = 128 << 10, HEADER = 512, NAME_BYTES = 100, MAGIC_AT = 257 };

int pack_refuse(const struct pack *pack, struct pkgcache_error *error, const char *why)
{
    return error_set(error, EBADMSG, "%s: %s", pack->name, why);
}

/* Says why a read failed. A file that ends is damaged, whoever reads it. */
int pack_fail_read(const struct pack *pack, struct pkgcache_error *error, int code)
{
    if (code == EBADMSG)
        return pack_refuse(
            pack, error,
            "the pack is cut off, or changed while it was read; copy or make it again");
    return error_set(error, code, "%s: cannot be read: %s", pack->name, strerror(code));
}

int pack_read_at(int fd, void *ret, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t bytes = pread(fd, ret, length, (off_t)offset);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes < 0 ? -errno : -EBADMSG;
        ret = (char *)ret + bytes;
        length -= (size_t)bytes;
        offset += (uint64_t)bytes;
    }
    return 0;
}

/* --- The beginning, in order ------------------------------------------------------------------ */

/* Reads a little more into the buffer: frames with files follow, which may not be wanted. Returns
 * how many bytes; 0: there are no more; or -errno. */
static ssize_t read_more(struct pack *pack)
{
    size_t room = MIN(pack->input_size - pack->input_used, (size_t)INPUT_BYTES);
    for (;;) {
        ssize_t bytes = pack->stream ? read(pack->fd, pack->input + pack->input_used, room)
                                     : pread(pack->fd, pack->input + pack->input_used, room,
                                             (off_t)pack->input_offset);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return -errno;
        pack->input_used += (size_t)bytes;
        pack->input_offset += (uint64_t)bytes;
        return bytes;
    }
}

/* Waits for bytes, if somebody may want to stop that. */
static bool is_cancelled(const struct pack *pack)
{
    struct pollfd fds[] = {{.fd = pack->fd, .events = POLLIN},
                           {.fd = pack->cancel_fd, .events = POLLIN}};
    while (pack->cancel_fd >= 0 && poll(fds, ARRAY_LENGTH(fds), -1) < 0 && errno == EINTR)
        ;
    return fds[1].revents;
}

int pack_take_bytes(struct pack *pack, void *ret, size_t length)
{
    size_t have = MIN(length, pack->input_used - pack->input_at);
    memcpy(ret, pack->input + pack->input_at, have);
    pack->input_at += have;
    ret = (char *)ret + have;
    length -= have;
    while (length > 0) {
        if (is_cancelled(pack))
            return -ECANCELED;
        ssize_t bytes = read(pack->fd, ret, length);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes < 0 ? -errno : -EBADMSG;
        ret = (char *)ret + bytes;
        length -= (size_t)bytes;
    }
    return 0;
}

/*
 * Reads the next frame of the index into `block`, whose sizes only the frame itself tells. Returns
 * how many bytes it has, or -errno.
 */
static int64_t read_index_frame(struct pack *pack, char *block)
{
    for (;;) {
        size_t have = pack->input_used - pack->input_at;
        const char *bytes = pack->input + pack->input_at;
        size_t stored = have ? ZSTD_findFrameCompressedSize(bytes, have) : 0;
        if (have && !ZSTD_isError(stored)) {
            unsigned long long size = ZSTD_getFrameContentSize(bytes, stored);
            if (size == 0 || size > PACK_INDEX_FRAME_MAX)
                return -EBADMSG;
            int result = zstd_frame_decompress(pack->context, bytes, stored, block, (size_t)size);
            if (result < 0)
                return result;
            pack->input_at += stored;
            pack->head_stored += stored;
            pack->head_frames++;
            return (int64_t)size;
        }
        if (have && ZSTD_getErrorCode(stored) != ZSTD_error_srcSize_wrong)
            return -EBADMSG;
        memmove(pack->input, bytes, have);
        pack->input_at = 0;
        pack->input_used = have;
        if (have == pack->input_size) /* no frame of ours is as large */
            return -EBADMSG;
        ssize_t more = read_more(pack);
        if (more <= 0)
            return more < 0 ? more : -EBADMSG;
    }
}

/* Whether a block is the header of our first member. */
static bool is_header(const char *block, size_t size)
{
    return size == HEADER && memcmp(block, PACK_INDEX_NAME, sizeof(PACK_INDEX_NAME)) == 0 &&
           memcmp(block + MAGIC_AT, "ustar", 5) == 0;
}

bool pack_detect(const void *beginning, size_t length)
{
    char header[HEADER];
    size_t stored = ZSTD_findFrameCompressedSize(beginning, length);
    if (ZSTD_isError(stored) || ZSTD_getFrameContentSize(beginning, length) != HEADER)
        return false;
    ZSTD_DCtx *context = ZSTD_createDCtx();
    bool found = context &&
                 zstd_frame_decompress(context, beginning, stored, header, HEADER) == 0 &&
                 is_header(header, HEADER);
    ZSTD_freeDCtx(context);
    return found;
}

/* Reads the header of the first member, and the head behind it. */
static int read_head(struct pack *pack, struct pkgcache_error *error)
{
    CLEANUP_FREE char *block = malloc(PACK_INDEX_FRAME_MAX);
    struct pack_head head = {.pack = pack};
    int64_t size = block ? read_index_frame(pack, block) : -ENOMEM;
    if (size == -EBADMSG || (size >= 0 && !is_header(block, (size_t)size)))
        return pack_refuse(pack, error, "this is no pack, or its first bytes are damaged");
    if (size < 0)
        return pack_fail_read(pack, error, (int)-size);
    XXH3_state_t *digest = XXH3_createState();
    int result = digest ? 0 : error_set(error, ENOMEM, "%s: out of memory", pack->name);
    if (digest)
        XXH3_128bits_reset(digest);
    while (result == 0 && !head.ended) {
        size = read_index_frame(pack, block);
        if (size < 0) {
            result = size == -EBADMSG
                         ? pack_refuse(pack, error,
                                       "its index is cut off or damaged; copy or make it again")
                         : pack_fail_read(pack, error, (int)-size);
            break;
        }
        XXH3_128bits_update(digest, block, (size_t)size);
        result = pack_head_add(&head, block, (size_t)size, error);
    }
    if (result == 0)
        XXH128_canonicalFromHash(&pack->digest, XXH3_128bits_digest(digest));
    XXH3_freeState(digest);
    pack_head_free(&head);
    return result;
}

/* --- Sizes ----------------------------------------------------------------------------------- */

/* Computes where everything is. The sums cannot overflow: there are at most 2^22 frames of 2^32
 * bytes, and each index is checked before. */
static int place_parts(struct pack *pack, struct pkgcache_error *error)
{
    uint64_t frames = pack->head_frames;
    uint64_t at = pack->head_stored;
    for (size_t i = 0; i < pack->variant_count; i++) {
        struct pack_section *section = &pack->sections[i];
        section->offset = at - pack->head_stored;
        at += section->stored;
        frames += (section->size + PACK_INDEX_FRAME_MAX - 1) / PACK_INDEX_FRAME_MAX;
    }
    pack->sections_stored = at - pack->head_stored;
    pack->frames_offset = at;
    for (uint32_t i = 0; i < pack->frame_count; i++)
        at += pack->frames[i].stored;
    pack->tail_offset = at;
    frames += pack->frame_count;
    pack->tail_length = seek_table_bytes((size_t)frames);
    pack->size = at + pack->tail_length;
    if (pack->stream)
        return 0;
    struct stat status;
    if (fstat(pack->fd, &status) < 0)
        return pack_fail_read(pack, error, errno);
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size == pack->size)
        return 0;
    return error_set(error, EBADMSG,
                     "%s: the pack has %ju bytes, and its index says %ju: it is cut off, or still "
                     "being written, or something was added; copy or make it again",
                     pack->name, (uintmax_t)status.st_size, (uintmax_t)pack->size);
}

/* Keeps the entries of all variants, which come before the frames of a stream. */
static int spool_sections(struct pack *pack, struct pkgcache_error *error)
{
    CLEANUP_FREE char *buffer = malloc(INPUT_BYTES);
    int result = buffer ? 0 : -ENOMEM;
    for (uint64_t done = 0; done < pack->sections_stored && result == 0;) {
        size_t length = (size_t)MIN(pack->sections_stored - done, (uint64_t)INPUT_BYTES);
        result = pack_take_bytes(pack, buffer, length);
        if (result < 0)
            return pack_fail_read(pack, error, -result);
        result = file_write_at(pack->index_fd, buffer, length, done);
        done += length;
    }
    return result < 0 ? error_set(error, -result, "%s: its index cannot be kept: %s", pack->name,
                                  strerror(-result))
                      : 0;
}

static int open_pack(int fd, int index_fd, bool stream, const void *begun, size_t length,
                     const char *name, struct pack **ret, struct pkgcache_error *error)
{
    assert(length <= PACK_DETECT_BYTES);
    struct pack *pack = calloc(1, sizeof(*pack));
    if (!pack)
        return error_set(error, ENOMEM, "%s: out of memory", name);
    pack->fd = fd;
    pack->index_fd = index_fd;
    pack->stream = stream;
    pack->cancel_fd = -1;
    pack->name = strdup(name);
    pack->input_size = ZSTD_compressBound(PACK_INDEX_FRAME_MAX) + INPUT_BYTES;
    pack->input = malloc(pack->input_size);
    pack->context = ZSTD_createDCtx();
    pack->input_used = length;
    pack->limit = UINT64_MAX;
    struct stat status;
    if (!stream && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        pack->limit = (uint64_t)status.st_size;
    if (pack->input && length > 0)
        memcpy(pack->input, begun, length);
    int result = pack->name && pack->input && pack->context
                     ? read_head(pack, error)
                     : error_set(error, ENOMEM, "%s: out of memory", name);
    if (result == 0)
        result = place_parts(pack, error);
    if (result == 0 && stream)
        result = spool_sections(pack, error);
    pack->index_base = stream ? 0 : pack->head_stored;
    ZSTD_freeDCtx(pack->context);
    pack->context = NULL;
    if (result < 0) {
        pack_close(pack);
        return result;
    }
    *ret = pack;
    return 0;
}

int pack_open(int fd, const char *name, struct pack **ret, struct pkgcache_error *error)
{
    return open_pack(fd, fd, false, NULL, 0, name, ret, error);
}

int pack_open_stream(int fd, const void *begun, size_t length, int spool_fd, const char *name,
                     struct pack **ret, struct pkgcache_error *error)
{
    return open_pack(fd, spool_fd, true, begun, length, name, ret, error);
}

int pack_open_entries(int fd, const char *name, const struct pack_variant *variant, uint64_t offset,
                      uint64_t stored, uint64_t size, struct pack **ret,
                      struct pkgcache_error *error)
{
    const struct pack_section section = {.stored = stored, .size = size};
    struct pack *pack = calloc(1, sizeof(*pack));
    const char *why = pack_judge_numbers(variant, &section);
    if (why || !pack) {
        free(pack);
        return error_set(error, why ? EBADMSG : ENOMEM, "%s: %s", name,
                         why ? why : "out of memory");
    }
    pack->fd = pack->index_fd = fd;
    pack->index_base = offset;
    pack->name = strdup(name);
    pack->variants = calloc(1, sizeof(*pack->variants));
    pack->sections = calloc(1, sizeof(*pack->sections));
    if (pack->variants && pack->sections) {
        pack->variant_count = 1;
        pack->sections[0] = section;
        pack->variants[0] = *variant;
        pack->variants[0].handle = strdup(variant->handle);
        pack->variants[0].root = strdup(variant->root);
        pack->variants[0].requires = NULL;
    }
    if (!pack->name || pack->variant_count == 0 || !pack->variants[0].handle ||
        !pack->variants[0].root) {
        pack_close(pack);
        return error_set(error, ENOMEM, "%s: out of memory", name);
    }
    *ret = pack;
    return 0;
}

void pack_close(struct pack *pack)
{
    if (!pack)
        return;
    for (size_t i = 0; i < pack->variant_count; i++) {
        free((char *)pack->variants[i].handle);
        free((char *)pack->variants[i].root);
        free((char *)pack->variants[i].requires);
    }
    free(pack->variants);
    free(pack->sections);
    free(pack->frames);
    free(pack->shared);
    free(pack->input);
    free(pack->name);
    free(pack);
}

/* --- Answers --------------------------------------------------------------------------------- */

bool pack_is_stream(const struct pack *pack)
{
    return pack->stream;
}

const uint8_t *pack_digest(const struct pack *pack)
{
    return pack->digest.digest;
}

void pack_cancel_by(struct pack *pack, int cancel_fd)
{
    pack->cancel_fd = cancel_fd;
}

uint64_t pack_size(const struct pack *pack)
{
    return pack->size;
}

const struct pack_variant *pack_variants(const struct pack *pack, size_t *ret_count)
{
    *ret_count = pack->variant_count;
    return pack->variants;
}

const struct pack_frame *pack_frames(const struct pack *pack, uint32_t *ret_count)
{
    *ret_count = pack->frame_count;
    return pack->frames;
}

const struct pack_shared *pack_shared(const struct pack *pack, size_t *ret_count)
{
    *ret_count = pack->shared_count;
    return pack->shared;
}

uint32_t pack_find_frame(const struct pack *pack, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = pack->frame_count;
    while (low < high) { /* the first frame that ends behind the position */
        uint32_t middle = low + (high - low) / 2;
        if (pack->frames[middle].position + pack->frames[middle].size > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
