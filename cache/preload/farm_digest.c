/* One pass over the bytes. */
#include "cache/preload/farm_digest.h"

#include "cache/util/file.h"

#include <xxhash.h>

enum { BUFFER_BYTES = 1 << 20 };

static int copy(int from, off_t offset, uint64_t left, int to, char *buffer, XXH3_state_t *state)
{
    while (left > 0) {
        ssize_t got = pread(from, buffer, MIN(left, (uint64_t)BUFFER_BYTES), offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ENODATA;
        int result = to < 0 ? 0 : file_write_all(to, buffer, (size_t)got);
        if (result < 0)
            return result;
        XXH3_128bits_update(state, buffer, (size_t)got);
        offset += got;
        left -= (uint64_t)got;
    }
    return 0;
}

int farm_digest_copy(int from, off_t offset, uint64_t bytes, int to,
                     char ret[static FARM_DIGEST_SIZE])
{
    XXH128_canonical_t canonical;
    CLEANUP_FREE char *buffer = malloc(BUFFER_BYTES);
    XXH3_state_t *state = XXH3_createState();
    int result = buffer && state ? 0 : -ENOMEM;
    if (result == 0) {
        XXH3_128bits_reset(state);
        result = copy(from, offset, bytes, to, buffer, state);
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        for (size_t i = 0; i < sizeof(canonical.digest); i++)
            snprintf(ret + 2 * i, 3, "%02x", canonical.digest[i]);
    }
    XXH3_freeState(state);
    return result;
}
