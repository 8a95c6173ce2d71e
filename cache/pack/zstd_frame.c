/* Compressing and decompressing single frames. */
#include "cache/pack/zstd_frame.h"

#include "engine/compiler.h"

#include <zstd_errors.h>

int64_t zstd_frame_compress(ZSTD_CCtx *context, int level, const void *bytes, size_t length,
                            void *ret)
{
    if (!context)
        return -ENOMEM;
    ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t stored = ZSTD_compress2(context, ret, ZSTD_compressBound(length), bytes, length);
    return ZSTD_isError(stored) ? -ENOMEM : (int64_t)stored; /* nothing else can go wrong */
}

/* What a frame says of itself (RFC 8878, 3.1.1.1): that it has a checksum, and that it looks back
 * on no more than ours do. One without a window is looked back on as a whole. */
static bool has_sound_head(const void *compressed, size_t stored)
{
    enum { DESCRIPTOR = 4, WINDOW = 5, SINGLE_SEGMENT = 1 << 5, CHECKSUM = 1 << 2 };
    const uint8_t *bytes = compressed;
    if (stored <= WINDOW || !(bytes[DESCRIPTOR] & CHECKSUM))
        return false;
    unsigned log = 10 + (bytes[WINDOW] >> 3);
    bool more = (bytes[WINDOW] & 7) != 0;
    return bytes[DESCRIPTOR] & SINGLE_SEGMENT || log + more <= PACK_WINDOW_LOG_MAX;
}

int zstd_frame_decompress(ZSTD_DCtx *context, const void *compressed, size_t stored, void *ret,
                          size_t size)
{
    if (!has_sound_head(compressed, stored) ||
        ZSTD_getFrameContentSize(compressed, stored) != size ||
        ZSTD_findFrameCompressedSize(compressed, stored) != stored)
        return -EBADMSG;
    size_t result = ZSTD_decompressDCtx(context, ret, size, compressed, stored);
    if (ZSTD_isError(result) && ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return -ENOMEM;
    return result == size ? 0 : -EBADMSG;
}
