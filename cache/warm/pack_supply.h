/* Variants of a pack (cache/pack/pack_reader.h) as what brings payloads: frame by frame, side by
 * side. */
#pragma once

#include "cache/pack/pack_reader.h"
#include "cache/warm/supply.h"

/** An open pack that several supplies share. Counted. */
struct pack_file;

/**
 * Opens a pack.
 *
 * @param fd          taken over, also on failure
 * @param bytes_per_s that may be read; 0: no limit, so what comes next is asked for early, in
 * order, if the pack lies with a file server
 * @param name        for messages; copied
 * @param ret         with one reference, dropped with pack_file_release
 * @return            as pack_open
 */
int pack_file_open(int fd, uint64_t bytes_per_s, const char *name, struct pack_file **ret,
                   struct pkgcache_error *error);

/**
 * Opens a pack that can only be read in order, once.
 *
 * @param fd          a pipe; stays the caller's, and open
 * @param begun       what was read of it, up to PACK_DETECT_BYTES
 * @param spool_fd    an empty file for what has to be kept; taken over, also on failure
 * @param bytes_per_s of what is read; 0: no limit
 * @return            as pack_open_stream
 */
int pack_file_open_stream(int fd, const void *begun, size_t length, int spool_fd,
                          uint64_t bytes_per_s, const char *name, struct pack_file **ret,
                          struct pkgcache_error *error);

/** Reads what is left of one that is read in order, when no copy is under way. @return as
 * pack_stream_finish */
int pack_file_finish_stream(struct pack_file *file, int cancel_fd, struct pkgcache_error *error);

const struct pack *pack_file_pack(const struct pack_file *file);

void pack_file_reference(struct pack_file *file);

void pack_file_release(struct pack_file *file);

/**
 * Makes what brings a variant's payload.
 *
 * @param variant its number in the pack
 * @param ret     released through its kind
 * @return        0 or -ENOMEM
 */
int pack_supply_new(struct pack_file *file, size_t variant, struct warm_supply **ret);
