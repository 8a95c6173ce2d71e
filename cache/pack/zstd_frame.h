/* Frames of zstd (RFC 8878) as packs have them: one for itself, with its size and a checksum. */
#pragma once

#include "cache/pack/pack.h"

#include <zstd.h>

/**
 * Compresses a frame.
 *
 * @param context NULL: there was no memory for it
 * @param ret     of ZSTD_compressBound(length) bytes
 * @return        the compressed size; -ENOMEM
 */
int64_t zstd_frame_compress(ZSTD_CCtx *context, int level, const void *bytes, size_t length,
                            void *ret);

/**
 * Decompresses a frame that has exactly this size, compressed and not, and checks its checksum.
 *
 * @return 0; -EBADMSG; -ENOMEM
 */
int zstd_frame_decompress(ZSTD_DCtx *context, const void *compressed, size_t stored, void *ret,
                          size_t size);
