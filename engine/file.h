/* A file under way: what all who copy it, or a range of it, have to know. */
#pragma once

#include "engine/directory.h"
#include "engine/holes.h"

#include <stdint.h>
#include <xxhash.h>

struct hard_link;

/** A file under way in both trees. */
struct file {
    struct batch *batch; /* holds one reference to it */
    const char *name;
    uint32_t entry; /* of a supply: its number */
    bool supplied;  /* it is a file of a supply that is taken from another file: ... */
    bool donated;   /* ... its donor, on this machine; else from the source */
    bool cloned;    /* it shares the blocks of its donor */
    bool pinned;    /* its directory is kept open for it */
    bool handed_on; /* somebody else goes on with its entry */
    int source_fd;
    int destination_fd;
    uint64_t size;   /* bytes that it has: more than `stated` where sizes may lie */
    uint64_t stated; /* its size, as the source says */
    uint64_t blocks; /* that it takes at the source, as statx(2) counts */
    struct device_files file_system;
    enum holes holes;
    bool ended; /* where sizes may lie: read until there was no more */
    struct attributes attributes;
    struct timespec ctime;
    uint64_t stated_ns; /* of a file on a server: when that was learned, CLOCK_MONOTONIC */
    bool other_mount;   /* something is mounted over it, or on the way to it */
    bool has_xattrs;
    bool made_otherwise; /* with another mode than it shall have */
    bool retried;        /* the source changed once already */
    bool has_digest;
    bool direct;           /* read past the page cache */
    atomic_bool in_kernel; /* the bytes, or some, did not pass through our memory */
    atomic_bool no_kernel; /* it refused to copy them: they pass through our memory */
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
