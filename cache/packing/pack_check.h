/*
 * Checking packs: whether all that is in one is sound. Frames have their checksums, the index its
 * digests, and each file the digest that the index has; and the headers of the archive, which other
 * programs read, say what the index says.
 */
#pragma once

#include "cache/pack/pack_reader.h"

struct pack_check {
    /** A variant was checked. @param error what is wrong with it; NULL: nothing */
    void (*on_variant)(void *context, size_t variant, const struct pkgcache_error *error);
    void (*on_progress)(void *context, const struct pkgcache_progress *progress);
    void *context;
};

/**
 * Reads all of a pack. What is behind the first damage cannot be told: these variants have an
 * error, too.
 *
 * @param fd   the file that the pack was opened of
 * @return     0; -EBADMSG: something is wrong; or why it cannot be read
 */
int pack_check_run(const struct pack *pack, int fd, const struct pack_check *check,
                   struct pkgcache_error *error);
