/* A file under way: what all who copy it, or a range of it, have to know. */
#pragma once

#include "engine/directory.h"

#include <stdint.h>
#include <xxhash.h>

struct hard_link;

/** A file under way in both trees. */
struct file {
    struct batch *batch; /* holds one reference to it */
    const char *name;
    int source_fd;
    int destination_fd;
    uint64_t size;
    struct attributes attributes;
    struct timespec ctime;
    bool sparse; /* may have holes */
    bool has_xattrs;
    bool made_otherwise; /* with another mode than it shall have */
    bool retried;        /* the source changed once already */
    bool has_digest;
    bool direct;           /* read past the page cache */
    atomic_bool in_kernel; /* the bytes, or some, did not pass through our memory */
    atomic_bool shorter;   /* than its size: the end came early */
    XXH128_hash_t digest;
    struct hard_link *hard_link; /* NULL: it has one name */

    /* Of a large file, which many transfers copy at once; it has memory of its own then. */
    bool shared;
    struct file *next;      /* in its job's list; under the schedule's lock, like `untaken` */
    uint64_t range_bytes;   /* of each range but the last; at least 1 */
    uint64_t untaken;       /* where the ranges begin that nobody has taken */
    atomic_uint references; /* ranges under way; one more while some are not taken */
};
