/*
 * What a file system, or a pair of them, is like: guessed once, then learned, and forgotten with
 * the last job that knows it. The kernel gives the number of a file system that was unmounted to
 * the next one that is mounted.
 */
#pragma once

#include "engine/io.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DEVICE_COLD = 32 }; /* from this on, a source is cold */

/** What can be done between two file systems. Starts as "try it"; jobs learn it for each other. */
struct device_pair {
    struct device_pair *next;
    dev_t source;
    dev_t destination;
    unsigned jobs;             /* between these two that are not done; under the lock of all */
    atomic_bool no_clone;      /* FICLONE */
    atomic_bool no_copy_range; /* copy_file_range(2) */
    atomic_bool no_send;       /* sendfile(2) */
    atomic_bool no_allocate;   /* fallocate(2) */
    atomic_bool no_direct;     /* O_DIRECT */
    atomic_bool no_inline;     /* what the source promised not to block for, blocks */
    atomic_bool keeps_modes;   /* the destination was seen to do so */
    atomic_bool keeps_times;   /* of files and directories */
    atomic_bool keeps_link_times;
    atomic_bool knows_links;   /* the next one is known */
    atomic_bool follows_links; /* what is set for a link, the destination sets for its target */
    atomic_bool flushes;       /* close(2) of one of them: a ring hands it to a kernel thread */
    atomic_uint slow_inline;   /* in a row */
    atomic_uint quick_inline;  /* in all, as long as all are tried */
    atomic_uint hot;           /* reads in a row that were in the page cache */
    atomic_uint cold;          /* goes up with those that were not, slowly down with others */
    /* Under the schedule's lock, those that are in calls that wait for it: */
    unsigned workers;
    unsigned readers;
    size_t parts_bytes; /* of supplies from the source, that are taken: memory */
};

/** Whether reads of the source have to wait for a disk. */
static inline bool device_pair_is_cold(const struct device_pair *pair)
{
    return atomic_load_explicit(&pair->cold, memory_order_relaxed) >= DEVICE_COLD;
}

/** Whether none of them has had to lately. */
static inline bool device_pair_is_hot(const struct device_pair *pair)
{
    return atomic_load_explicit(&pair->cold, memory_order_relaxed) == 0;
}

/**
 * Learns from how long a read of the source took, also of a directory, whether it waited for a
 * disk.
 *
 * @param began_ns CLOCK_MONOTONIC
 * @param bytes    that were read
 * @return         false: it did
 */
bool device_pair_learn(struct device_pair *pair, uint64_t began_ns, int64_t bytes);

/** All pairs that an engine has met. They live as long as the engine; a thread that has been told
 * of one may keep it. What was learned of them does not. */
struct devices {
    pthread_mutex_t lock;
    struct device_pair *pairs;
};

void devices_init(struct devices *devices);
void devices_destroy(struct devices *devices);

/**
 * Has a job learn of two file systems, both of which it keeps in use until devices_leave. While
 * they are, their numbers mean nothing else.
 *
 * @return the pair, of which nothing is known if no other job uses it; NULL for want of memory
 */
struct device_pair *devices_enter(struct devices *devices, dev_t source, dev_t destination);

/** A job is done with two file systems. */
void devices_leave(struct devices *devices, struct device_pair *pair);

/** What the type of a file system says of it. */
enum device_kind {
    DEVICE_LOCAL,
    DEVICE_REMOTE,  /* a network file system, or FUSE: callers wait also for what is cached */
    DEVICE_BTRFS,   /* copies on write, and has one tree for all */
    DEVICE_OVERLAY, /* has something to do when a file is closed: asks those below it */
};

/**
 * Asks what kind of file system a file is on.
 *
 * @param fd any open file of it
 * @return   DEVICE_LOCAL, too, if the file system does not tell
 */
enum device_kind device_kind(int fd);

/** What its type says of the files in it. */
struct device_files {
    bool sizes_may_lie; /* a file may have more bytes than its size */
    bool stacked;       /* their contents are in another file system */
};

/** Asks what the files are like of the file system that a file is on. @param fd any open file */
struct device_files device_files(int fd);

/** How long the operations of a file system may take that files are read from. */
static inline enum io_latency device_latency(enum device_kind source)
{
    return source == DEVICE_REMOTE ? IO_REMOTE : IO_CACHED;
}

/**
 * Whether an error of FICLONE, copy_file_range(2), sendfile(2) or fallocate(2) says that it cannot
 * be done at all here, so that nobody need ask again.
 *
 * @param code an errno value, positive
 */
bool device_pair_cannot(int code);
