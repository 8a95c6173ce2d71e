/*
 * Reading packs (pack.h), whatever is in the file: others made it, or half of it. Nothing is
 * allocated because a number in the file says so, and zstd may not look back farther than a frame.
 *
 *     pack_open             the list of variants, and where frames are
 *     pack_entries_next     what a variant consists of, in order: directories before what is in
 * them pack_fetch_frame      the bytes of the files, frame by frame, in parallel pack_decode_frame
 *
 * A seekable file is read with pread(2), by as many threads as one likes. From a stream, frames can
 * be had once, and in order only. Its index is kept in a file of the caller's. Not for trust: who
 * made a pack decides what is in it.
 */
#pragma once

#include "cache/pack/pack.h"
#include "cache/util/error.h"

enum {
    PACK_DETECT_BYTES = 512,       /* of a file's beginning, that tell whether it is a pack */
    PACK_DECODER_BYTES = 9 << 20,  /* at most what a decoder and its caller's buffer need */
    PACK_ENTRIES_BYTES = 20 << 20, /* at most what pack_entries_open and _next need */
};

struct pack;
struct pack_entries;
struct pack_decoder;

/**
 * Whether a file begins as a pack does, of whatever version.
 *
 * @param length of what is there, up to PACK_DETECT_BYTES; less only where the file is shorter
 */
bool pack_detect(const void *beginning, size_t length);

/**
 * Opens a pack and reads the first part of its index: variants and frames.
 *
 * @param fd    a regular file, read from its beginning; stays the caller's, and open as long as the
 *              pack is
 * @param name  for messages: what the user calls it
 * @param ret   closed with pack_close
 * @return      0; -EBADMSG: it is none, is damaged or incomplete, or of another version; -ENOMEM;
 *              or what read says. The message names the pack
 */
int pack_open(int fd, const char *name, struct pack **ret, struct pkgcache_error *error);

/**
 * Opens a pack that can only be read in order: standard input.
 *
 * @param fd       a pipe, socket or file, at the beginning of the pack, or behind `begun`
 * @param begun    what was read of it, to find out what it is
 * @param length   of that, up to PACK_DETECT_BYTES
 * @param spool_fd an empty file, for reading and writing, that nobody else uses: takes the index
 *                 (compressed, some 50 bytes for each entry); stays the caller's
 * @return         as pack_open; or what write says
 */
int pack_open_stream(int fd, const void *begun, size_t length, int spool_fd, const char *name,
                     struct pack **ret, struct pkgcache_error *error);

/**
 * Opens the entries of one variant that stand in a file as they do in a pack, without a pack around
 * them: one with that variant, and no frames, so no entry may have bytes.
 *
 * @param fd      a regular file; stays the caller's, and open as long as the pack is
 * @param name    for messages
 * @param variant what is said of it; copied. It has no frames
 * @param offset  in the file, of its entries
 * @param stored  their bytes, which the file has
 * @param size    of their records, uncompressed
 * @param ret     closed with pack_close
 * @return        0; -EBADMSG: these numbers cannot be true; -ENOMEM
 */
int pack_open_entries(int fd, const char *name, const struct pack_variant *variant, uint64_t offset,
                      uint64_t stored, uint64_t size, struct pack **ret,
                      struct pkgcache_error *error);

/** When no entries are open. NULL is allowed. */
void pack_close(struct pack *pack);

bool pack_is_stream(const struct pack *pack);

/** From now on nothing more of a stream is waited for when a descriptor is readable: what reads it
 * says -ECANCELED. @param cancel_fd -1: it is waited for */
void pack_cancel_by(struct pack *pack, int cancel_fd);

/** Identifies the pack: the digest of the index, which has the digests of all variants. */
const uint8_t *pack_digest(const struct pack *pack);

/** Bytes of the whole file. */
uint64_t pack_size(const struct pack *pack);

/** All variants, in the order of their frames. Belong to the pack. */
const struct pack_variant *pack_variants(const struct pack *pack, size_t *ret_count);

/** All frames with files, in order; the last one ends the archive and has no file. Belong to the
 * pack. */
const struct pack_frame *pack_frames(const struct pack *pack, uint32_t *ret_count);

/** Which frame has the byte of a position. @return the count of frames: none */
uint32_t pack_find_frame(const struct pack *pack, uint64_t position);

/** The bytes that later variants have, too, by position; no two overlap. Belong to the pack. */
const struct pack_shared *pack_shared(const struct pack *pack, size_t *ret_count);

/**
 * Begins with the entries of a variant. Several threads may read those of several variants.
 *
 * @param ret closed with pack_entries_close
 * @return    0, -ENOMEM
 */
int pack_entries_open(const struct pack *pack, size_t variant, struct pack_entries **ret,
                      struct pkgcache_error *error);

/**
 * Reads the next entry. The first is the root, ".". They are in the order in which a tree is
 * walked, names sorted by their bytes: a directory, then all that is in it. So parents were there
 * before, and were directories, no path is there twice, and none leads out. All of that is checked
 * here, and that data lies in frames of this variant or earlier ones. That `original` is the number
 * of a file or a symbolic link is left to the caller.
 *
 * @param ret valid until the next call
 * @return    1; 0: that were all, and nothing in them was damaged, which is known only now;
 *            -EBADMSG: damaged; -ENOMEM; or what read says. The message names pack and variant
 */
int pack_entries_next(struct pack_entries *entries, const struct pack_entry **ret,
                      struct pkgcache_error *error);

/** NULL is allowed. */
void pack_entries_close(struct pack_entries *entries);

/** What one thread needs for a frame under way. @return freed with pack_decoder_free; NULL: no
 * memory */
struct pack_decoder *pack_decoder_new(void);

/** NULL is allowed. */
void pack_decoder_free(struct pack_decoder *decoder);

/**
 * Reads a frame, compressed. Of a stream, `number` must be that of the one before plus 1, and one
 * thread at a time may call it.
 *
 * @param on_arrival called whenever so many bytes of it have arrived, long before all have if the
 *                   link is slow; returns 0, or -errno, which ends the call (of a stream, for
 * good). NULL: nothing is called
 * @return           0; -EBADMSG: the pack ends, or changed since it was opened; -ESPIPE: not the
 *                   next frame of the stream; or what read or on_arrival say. The message names
 *                   pack, frame and variant
 */
int pack_fetch_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                     int (*on_arrival)(void *context, size_t bytes), void *context,
                     struct pkgcache_error *error);

/** The bytes of the frame that was fetched, compressed. Belong to the decoder. */
const void *pack_fetched_bytes(const struct pack *pack, const struct pack_decoder *decoder,
                               size_t *ret_length);

/**
 * Has a frame in the decoder as if it was just fetched, whose bytes were put into another file.
 *
 * @param fd     of that
 * @param offset where it begins there
 * @return       0, or -errno with a message
 */
int pack_refetch_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                       int fd, uint64_t offset, struct pkgcache_error *error);

/**
 * Decompresses the frame that was fetched, and checks its checksum. The decoder has no frame then.
 *
 * @param buffer of PACK_FRAME_MAX bytes; receives as many as pack_frames() says
 * @return       0; -EBADMSG: damaged; -ENOMEM. The message names pack, frame and variant
 */
int pack_decode_frame(const struct pack *pack, uint32_t number, struct pack_decoder *decoder,
                      void *buffer, struct pkgcache_error *error);

/**
 * Reads what follows the last frame of a stream, so that whoever writes it is not interrupted, and
 * checks that it is what belongs there: a table that says of frames what the index says, and no
 * more.
 *
 * @return 0; -EBADMSG; -ECANCELED: see pack_cancel_by; or what read says
 */
int pack_finish_stream(struct pack *pack, struct pkgcache_error *error);
