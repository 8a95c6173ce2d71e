/*
 * Digests, with the widest vectors that this processor has: twice as fast as what every x86
 * processor has. libxxhash's shared library chooses at run time (xxh_x86dispatch.h); its archive
 * does not have those functions, so they are weak here.
 *
 * One XXH3-128 is under way for a file, of all blocks that are not empty. Without an empty block
 * that is the digest; so nothing is digested twice, though nobody knows before the end.
 */
#include "engine/digest.h"

#include "engine/compiler.h"

#include <assert.h>
#include <endian.h>

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>

#pragma weak XXH3_128bits_dispatch
#pragma weak XXH3_128bits_update_dispatch

#define DISPATCHED(function) (function##_dispatch ? function##_dispatch : (function))
#else
#define DISPATCHED(function) function
#endif

XXH128_hash_t digest_of(const void *data, size_t length)
{
    return DISPATCHED(XXH3_128bits)(data, length);
}

/* Most blocks begin with something else, so that little is read of them. */
static bool is_zero(const char *data, size_t length)
{
    static const char zeros[16];
    size_t first = MIN(length, sizeof(zeros));
    return memcmp(data, zeros, first) == 0 && memcmp(data, data + first, length - first) == 0;
}

void digest_begin(struct digest *digest, enum digest_kind kind)
{
    *digest = (struct digest){.state = digest->state, .kind = kind};
}

void digest_free(struct digest *digest)
{
    XXH3_freeState(digest->state);
    digest->state = NULL;
}

static int update(struct digest *digest, const void *data, size_t length)
{
    if (!digest->state)
        digest->state = XXH3_createState();
    if (!digest->state)
        return -ENOMEM;
    if (!digest->begun)
        XXH3_128bits_reset(digest->state);
    digest->begun = true;
    DISPATCHED(XXH3_128bits_update)(digest->state, data, length);
    return 0;
}

static int update_zeros(struct digest *digest, uint64_t length)
{
    static const char zeros[4096];
    int result = 0;
    while (length > 0 && result == 0) {
        size_t piece = (size_t)MIN(length, (uint64_t)sizeof(zeros));
        result = update(digest, zeros, piece);
        length -= piece;
    }
    return result;
}

/* A run of blocks that are not empty, if there is one, ends with what was added last. */
static void end_run(struct digest *digest)
{
    struct {
        XXH128_canonical_t map;
        uint64_t offset;
        uint64_t end;
    } run = {digest->map, htobe64(digest->run), htobe64(digest->length)};
    assert(digest->run <= digest->length);
    if (digest->run < digest->length)
        XXH128_canonicalFromHash(&digest->map, digest_of(&run, sizeof(run)));
}

static void add_empty(struct digest *digest, uint64_t length)
{
    assert(digest->length % DIGEST_BLOCK_BYTES == 0 && length % DIGEST_BLOCK_BYTES == 0);
    assert(digest->zeros == 0);
    end_run(digest);
    digest->has_empty = true;
    digest->length += length;
    digest->run = digest->length;
}

/* Adds a part of one block. NULL: zeros. */
static int add_part(struct digest *digest, const char *data, size_t length)
{
    size_t before = digest->length % DIGEST_BLOCK_BYTES;
    int result = 0;
    assert(before + length <= DIGEST_BLOCK_BYTES);
    if (digest->zeros == before && (!data || is_zero(data, length))) {
        digest->zeros += length;
    } else {
        result = update_zeros(digest, digest->zeros);
        digest->zeros = 0;
        if (result == 0)
            result = data ? update(digest, data, length) : update_zeros(digest, length);
    }
    digest->length += length;
    if (digest->zeros == DIGEST_BLOCK_BYTES) {
        digest->length -= DIGEST_BLOCK_BYTES;
        digest->zeros = 0;
        add_empty(digest, DIGEST_BLOCK_BYTES);
    }
    return result;
}

/* Adds whole blocks, as many as are alike, empty or not. */
static int add_blocks(struct digest *digest, const char *data, size_t length, size_t *ret_taken)
{
    bool empty = is_zero(data, DIGEST_BLOCK_BYTES);
    size_t taken = DIGEST_BLOCK_BYTES;
    while (length - taken >= DIGEST_BLOCK_BYTES &&
           is_zero(data + taken, DIGEST_BLOCK_BYTES) == empty)
        taken += DIGEST_BLOCK_BYTES;
    *ret_taken = taken;
    if (empty) {
        add_empty(digest, taken);
        return 0;
    }
    digest->length += taken;
    return update(digest, data, taken);
}

int digest_add(struct digest *digest, const void *data, size_t length)
{
    const char *at = data;
    int result = 0;
    if (digest->kind == DIGEST_PLAIN) {
        digest->length += length;
        return update(digest, data, length);
    }
    while (length > 0 && result == 0) {
        size_t before = digest->length % DIGEST_BLOCK_BYTES;
        size_t taken = MIN(DIGEST_BLOCK_BYTES - before, length);
        if (taken == DIGEST_BLOCK_BYTES)
            result = add_blocks(digest, at, length, &taken);
        else
            result = add_part(digest, at, taken);
        at += taken;
        length -= taken;
    }
    return result;
}

int digest_add_hole(struct digest *digest, uint64_t length)
{
    if (digest->kind == DIGEST_PLAIN) {
        digest->length += length;
        return update_zeros(digest, length);
    }
    uint64_t before = digest->length % DIGEST_BLOCK_BYTES;
    uint64_t part = before > 0 ? MIN(DIGEST_BLOCK_BYTES - before, length) : 0;
    int result = add_part(digest, NULL, (size_t)part);
    length -= part;
    if (length >= DIGEST_BLOCK_BYTES)
        add_empty(digest, length / DIGEST_BLOCK_BYTES * DIGEST_BLOCK_BYTES);
    if (result == 0)
        result = add_part(digest, NULL, length % DIGEST_BLOCK_BYTES);
    return result;
}

int digest_end(struct digest *digest, XXH128_hash_t *ret)
{
    struct {
        XXH128_canonical_t map;
        uint64_t size;
    } end = {.size = htobe64(digest->length)};
    int result = update_zeros(digest, digest->zeros); /* of a block that is not whole */
    digest->zeros = 0;
    if (result == 0 && digest->has_empty) {
        end_run(digest);
        end.map = digest->map;
        result = update(digest, &end, sizeof(end));
    }
    if (result == 0)
        *ret = digest->begun ? XXH3_128bits_digest(digest->state) : digest_of("", 0);
    return result;
}

static bool has_empty_block(const char *data, size_t length)
{
    for (; length >= DIGEST_BLOCK_BYTES; data += DIGEST_BLOCK_BYTES, length -= DIGEST_BLOCK_BYTES)
        if (is_zero(data, DIGEST_BLOCK_BYTES))
            return true;
    return false;
}

int digest_whole(struct digest *digest, enum digest_kind kind, const void *data, size_t length,
                 XXH128_hash_t *ret)
{
    if (kind == DIGEST_PLAIN || !has_empty_block(data, length)) {
        *ret = digest_of(data, length);
        return 0;
    }
    digest_begin(digest, kind);
    int result = digest_add(digest, data, length);
    return result < 0 ? result : digest_end(digest, ret);
}
