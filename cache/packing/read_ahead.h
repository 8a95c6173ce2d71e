/*
 * Reading the files of trees ahead of the thread that packs them: many at once, since a source may
 * be a server a millisecond away, but handed over in order. Each file is opened once. Small ones
 * come whole, larger ones in parts; memory is bounded.
 */
#pragma once

#include "cache/packing/pack_tree.h"
#include "engine/digest.h"

enum { READ_AHEAD_PART_MAX = 1 << 20 }; /* bytes of a unit */

struct read_ahead;

/** A file that was opened, as it was then. */
struct content {
    int fd;
    struct stat status;    /* with the size that it has */
    off_t stated;          /* the size that its file system says */
    bool size_may_lie;     /* it may be less than there is */
    struct xattrs *xattrs; /* NULL: none */
    bool xattrs_unread;    /* they could not be read */
    struct pack_extent *extents;
    size_t extent_count;
    uint64_t stored; /* bytes of all extents */
};

enum unit_kind {
    UNIT_WHOLE, /* a file */
    UNIT_BEGIN, /* the beginning of a large file: no bytes yet */
    UNIT_PART,  /* bytes of the file whose beginning came before, without its holes */
};

/** What was read. */
struct unit {
    enum unit_kind kind;
    int error; /* negative; 0: none */
    const struct pack_tree *tree;
    const struct pack_node *node;
    struct content *content;
    XXH128_hash_t digest; /* of UNIT_WHOLE */
    char *bytes;
    size_t length;
    uint64_t offset; /* private: in the file */
    size_t claimed;  /* private: bytes that were set aside for it */
    bool done;       /* private */
};

/**
 * Starts reading all files of the trees, in order.
 *
 * @param in_flight   files that are read at once, at most; 0: as many as are good for the trees
 * @param bytes_per_s that are read, at most; 0: no limit
 * @param ret         freed with read_ahead_free
 * @return            0, -ENOMEM, or why no thread starts
 */
int read_ahead_new(const struct pack_tree *trees, size_t count, unsigned in_flight,
                   uint64_t bytes_per_s, struct read_ahead **ret);

/**
 * Waits for the next unit.
 *
 * @return the oldest that was not released; NULL: there are no more
 */
struct unit *read_ahead_next(struct read_ahead *ahead);

/** Gives the oldest unit back. Its content stays, until content_free: not before the last part of
 * the file was taken. */
void read_ahead_release(struct read_ahead *ahead);

/** Stops. NULL is allowed. */
void read_ahead_free(struct read_ahead *ahead);

/** Takes down what an open file is now, after it was seen to change. @return 0 or -errno */
int content_learn(struct content *content);

/** Reads bytes of a file that must be there. @return 0; -ESTALE: it is shorter; or -errno */
int content_read(const struct content *content, char *ret, size_t length, uint64_t offset);

/** Whether a file is still what it was when it was opened. */
bool content_is_unchanged(const struct content *content);

/** NULL is allowed. */
void content_free(struct content *content);
