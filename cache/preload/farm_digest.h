/* Digests of packs' parts: XXH3-128, as in manifests, in hexadecimal. */
#pragma once

#include "cache/preload/farm_order.h"

/**
 * Digests a part of a file, and writes it elsewhere, too.
 *
 * @param from   read from `offset` on, exactly `bytes`
 * @param to     written to, where it stands; -1: only digested
 * @return       0; -ENODATA: there are fewer; or -errno
 */
int farm_digest_copy(int from, off_t offset, uint64_t bytes, int to,
                     char ret[static FARM_DIGEST_SIZE]);
