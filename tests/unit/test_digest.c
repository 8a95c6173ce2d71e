/* Digests: what they are, by their definition taken literally, however the bytes arrive. */
#include "engine/compiler.h"
#include "engine/digest.h"

#include <criterion/criterion.h>
#include <endian.h>

#define BLOCK          ((size_t)DIGEST_BLOCK_BYTES)
#define SIZE_MAX_BYTES (9 * BLOCK)

static struct digest digest;

static bool is_empty(const char *block)
{
    for (size_t i = 0; i < BLOCK; i++)
        if (block[i] != 0)
            return false;
    return true;
}

static void append(char *bytes, size_t *length, const void *more, size_t more_length)
{
    memcpy(bytes + *length, more, more_length);
    *length += more_length;
}

/* MAP, when a run was found. */
static void map_run(XXH128_canonical_t *map, uint64_t offset, uint64_t end)
{
    char text[32];
    size_t length = 0;
    offset = htobe64(offset);
    end = htobe64(end);
    append(text, &length, map->digest, sizeof(map->digest));
    append(text, &length, &offset, sizeof(offset));
    append(text, &length, &end, sizeof(end));
    XXH128_canonicalFromHash(map, XXH3_128bits(text, length));
}

/* As engine/digest.h says it. */
static XXH128_hash_t digest_by_definition(const char *data, size_t size)
{
    CLEANUP_FREE char *bytes = malloc(size + 64);
    XXH128_canonical_t map = {0};
    size_t length = 0, run = 0;
    bool any_empty = false;
    for (size_t at = 0; at < size; at += BLOCK) {
        size_t block = MIN(BLOCK, size - at);
        if (block == BLOCK && is_empty(data + at)) {
            any_empty = true;
            if (run < at)
                map_run(&map, run, at);
            run = at + BLOCK;
        } else {
            append(bytes, &length, data + at, block);
        }
    }
    if (!any_empty)
        return XXH3_128bits(data, size);
    if (run < size)
        map_run(&map, run, size);
    uint64_t number = htobe64(size);
    append(bytes, &length, map.digest, sizeof(map.digest));
    append(bytes, &length, &number, sizeof(number));
    return XXH3_128bits(bytes, length);
}

/* Data, and zeros of any length at any place. Returns how many bytes. */
static size_t make_data(char *data, unsigned *seed)
{
    size_t size = (size_t)rand_r(seed) % SIZE_MAX_BYTES;
    for (size_t at = 0; at < size;) {
        size_t wanted = (size_t)rand_r(seed) % (3 * BLOCK) + 1;
        size_t left = MIN(size - at, wanted);
        bool zeros = rand_r(seed) % 2;
        if (rand_r(seed) % 3 == 0) /* ends with a block */
            left = MIN(size - at, left - left % BLOCK + (BLOCK - at % BLOCK));
        for (size_t end = at + left; at < end; at++)
            data[at] = (char)(zeros ? 0 : rand_r(seed));
    }
    return size;
}

static size_t count_zeros(const char *data, size_t length)
{
    size_t count = 0;
    while (count < length && data[count] == 0)
        count++;
    return count;
}

/* In pieces of any length; zeros as they are, or as holes. */
static XXH128_hash_t digest_pieces(const char *data, size_t size, unsigned *seed)
{
    XXH128_hash_t found;
    size_t longest = rand_r(seed) % 4 == 0 ? 2 * BLOCK : (size_t)rand_r(seed) % (BLOCK / 8) + 1000;
    digest_begin(&digest, DIGEST_WITHOUT_EMPTY);
    for (size_t at = 0; at < size;) {
        size_t wanted = (size_t)rand_r(seed) % longest + 1;
        size_t piece = MIN(size - at, wanted);
        size_t zeros = rand_r(seed) % 2 ? count_zeros(data + at, size - at) : 0;
        piece = zeros > 0 ? zeros : piece;
        int result =
            zeros > 0 ? digest_add_hole(&digest, zeros) : digest_add(&digest, data + at, piece);
        cr_assert_eq(result, 0);
        at += piece;
    }
    cr_assert_eq(digest_end(&digest, &found), 0);
    return found;
}

Test(digest, is_what_its_definition_says)
{
    CLEANUP_FREE char *data = malloc(SIZE_MAX_BYTES);
    XXH128_hash_t whole;
    for (unsigned round = 0; round < 60; round++) {
        unsigned seed = round;
        size_t size = make_data(data, &seed);
        XXH128_hash_t shall = digest_by_definition(data, size);
        for (int i = 0; i < 3; i++)
            cr_expect(XXH128_isEqual(digest_pieces(data, size, &seed), shall),
                      "round %u, %zu bytes", round, size);
        cr_assert_eq(digest_whole(&digest, DIGEST_WITHOUT_EMPTY, data, size, &whole), 0);
        cr_expect(XXH128_isEqual(whole, shall), "round %u: as a whole", round);
        cr_assert_eq(digest_whole(&digest, DIGEST_PLAIN, data, size, &whole), 0);
        cr_expect(XXH128_isEqual(whole, XXH3_128bits(data, size)), "round %u: plain", round);
    }
    digest_free(&digest);
}

/* Zeros alone, but less than a block: most files have some. */
Test(digest, is_plain_without_a_whole_block_of_zeros)
{
    CLEANUP_FREE char *data = calloc(1, 3 * BLOCK);
    unsigned seed = 1;
    data[0] = data[BLOCK] = 1; /* and then zeros to the end of what is no block */
    for (size_t size = 0; size < 3 * BLOCK; size += BLOCK - 1) {
        XXH128_hash_t plain = XXH3_128bits(data, size);
        cr_expect(XXH128_isEqual(digest_pieces(data, size, &seed), plain), "%zu", size);
    }
    digest_free(&digest);
}

static XXH128_hash_t digest_extent(uint64_t before, const char *text, uint64_t after)
{
    XXH128_hash_t found;
    digest_begin(&digest, DIGEST_WITHOUT_EMPTY);
    cr_assert_eq(digest_add_hole(&digest, before), 0);
    cr_assert_eq(digest_add(&digest, text, strlen(text)), 0);
    cr_assert_eq(digest_add_hole(&digest, after), 0);
    cr_assert_eq(digest_end(&digest, &found), 0);
    return found;
}

/* A hole costs nothing, or this would not end; and where the data is makes a difference. */
Test(digest, of_holes)
{
    const uint64_t petabyte = 1ULL << 50;
    XXH128_hash_t found = digest_extent(petabyte, "data", petabyte);
    cr_expect(XXH128_isEqual(found, digest_extent(petabyte, "data", petabyte)));
    cr_expect(!XXH128_isEqual(found, digest_extent(petabyte - BLOCK, "data", petabyte + BLOCK)));
    cr_expect(!XXH128_isEqual(found, digest_extent(petabyte - 1, "data", petabyte + 1)));
    cr_expect(!XXH128_isEqual(found, digest_extent(petabyte, "data", petabyte + BLOCK)));
    cr_expect(!XXH128_isEqual(found, digest_extent(petabyte, "date", petabyte)));
    cr_expect(!XXH128_isEqual(digest_extent(petabyte, "", 0), digest_extent(petabyte, "", BLOCK)));
    digest_free(&digest);
}

/* What manifests have is never to change. */
Test(digest, stays_what_it_is)
{
    XXH128_canonical_t canonical;
    char text[2 * sizeof(canonical.digest) + 1];
    XXH128_canonicalFromHash(&canonical, digest_extent(3 * BLOCK, "data", 2 * BLOCK));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(text + 2 * i, 3, "%02x", canonical.digest[i]);
    cr_expect_str_eq(text, "95bb81f97c6572e3b0edd968b4663d0b");
    digest_free(&digest);
}
