/*
 * The frames of a pack while it is made: bytes go in one after the other, and come out compressed
 * in a file, in order, whichever of several threads was first. The last bytes can be taken back.
 */
#pragma once

#include "cache/pack/pack.h"
#include "cache/pack/seek_table.h"

struct frames;

/** Where frames stand, to come back to. */
struct frames_mark {
    uint32_t count;
    size_t used;
    uint64_t position;
    void *bytes; /* of the frame under way */
};

/**
 * @param fd    an empty file, written from its beginning; stays the caller's
 * @param level of zstd
 * @param ret   freed with frames_free
 * @return      0, -ENOMEM, or why no thread starts
 */
int frames_new(int fd, int level, struct frames **ret);

/** Adds bytes. @return 0, or -errno of an earlier frame that could not be written */
int frames_add(struct frames *frames, const void *bytes, size_t length);

/** Ends the frame, if it has any bytes: the next ones are in another. @return as frames_add */
int frames_cut(struct frames *frames);

/**
 * Ends the frame before a file, or behind it, where one should end: who needs a file reads all of
 * its frames, so large files hardly share theirs.
 *
 * @param bytes of the file in the pack
 * @return      as frames_add
 */
int frames_cut_for(struct frames *frames, uint64_t bytes);

/** The position in the pack of the next byte. */
uint64_t frames_position(const struct frames *frames);

/** How many frames were ended. */
uint32_t frames_count(const struct frames *frames);

/** Notes where they stand. @param ret freed with frames_forget_mark @return 0 or -ENOMEM */
int frames_mark(struct frames *frames, struct frames_mark *ret);

/** Takes back all that was added since. @return 0 or -errno */
int frames_return(struct frames *frames, const struct frames_mark *mark);

void frames_forget_mark(struct frames_mark *mark);

/**
 * Ends the last frame, and waits until all are written.
 *
 * @param ret belongs to the frames
 * @return    0 or -errno
 */
int frames_end(struct frames *frames, const struct frames_size **ret, uint32_t *ret_count);

/** NULL is allowed. */
void frames_free(struct frames *frames);
