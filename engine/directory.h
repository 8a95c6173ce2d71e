/* A directory under way, in both trees, and a batch of files to copy in it. How they end is in
 * release.h. */
#pragma once

#include "engine/device.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct copyengine_job;

/** What the copy of a file or directory shall have. */
struct attributes {
    mode_t mode;
    uid_t user;
    gid_t group;
    struct timespec mtime;
};

/** What whoever reads a directory may have to wait for: see schedule.c. */
enum reading {
    READING_AT_ONCE,
    READING_ROOT, /* that is not open yet: nobody knows where it is */
    READING_REMOTE,
};

/**
 * Lives from when its parent was read until everything in it is copied, or removed. Every child,
 * every file queued or under way, and the reader hold a reference; the last to let go sets mode
 * and times, or removes it.
 */
struct directory {
    struct copyengine_job *job;
    struct directory *parent; /* NULL: the root */
    struct directory *next;   /* in the job's stack of those to read */
    atomic_uint references;
    int source_fd; /* -1: not opened yet; a removal reads what is to be removed with it */
    int destination_fd;
    bool unreadable; /* of a scan: its end was not reached */
    bool again;      /* of a removal: it is not empty yet, and read again instead of ended */
    unsigned depth;  /* below the root, as far as it was found there */
    uint32_t number; /* of a supply: see supply.c */
    dev_t device;
    ino_t inode;
    struct device_files files;    /* of the source */
    uint64_t mount;               /* as source_mount() says */
    struct attributes attributes; /* that the copy shall have */
    enum reading reading;         /* as what it is being read, or was last */
    char name[];
};

/** Files of one directory that wait to be copied. Holds a reference to it. */
struct batch {
    struct batch *next;
    struct directory *directory;
    atomic_uint references; /* one for each file not completed */
    unsigned count;
    unsigned taken;          /* of the files, by workers; under the schedule's lock */
    bool donated;            /* of a supply: their contents are taken from donors */
    const uint32_t *entries; /* of a supply: what each is there; else NULL */
    const char *names[];
};

/** Batches in the order in which they were found. */
struct batch_queue {
    struct batch *first;
    struct batch *last;
};

/**
 * @param parent gets a reference; NULL: makes the root
 * @param name   one name; of the root: ""
 * @return       with one reference, or NULL for want of memory
 */
struct directory *directory_new(struct copyengine_job *job, struct directory *parent,
                                const char *name);

static inline void directory_reference(struct directory *directory)
{
    atomic_fetch_add_explicit(&directory->references, 1, memory_order_relaxed);
}

/**
 * Collects names for a batch.
 *
 * @param names the names; copied
 * @param count at least 1
 * @return      NULL for want of memory
 */
struct batch *batch_new(struct directory *directory, const char *const *names, unsigned count);

/**
 * Collects files of a supply for a batch.
 *
 * @param names   not copied
 * @param entries their numbers; copied
 */
struct batch *batch_new_of_entries(struct directory *directory, const char *const *names,
                                   const uint32_t *entries, unsigned count);

/** @param batches linked by `next`; may be NULL @return how many files they have */
uint64_t batch_count_files(const struct batch *batches);

void batch_queue_append(struct batch_queue *queue, struct batch *batch);

/** Takes the first batch off a queue that is not empty. */
struct batch *batch_queue_pop(struct batch_queue *queue);

/**
 * The path of a file relative to the root, allocated; NULL for want of memory.
 *
 * @param name NULL: of the directory itself, which is "" for the root
 */
char *directory_relative_path(const struct directory *directory, const char *name);

/**
 * Writes the path of a file into a buffer, for people: "..." stands for what does not fit.
 *
 * @param root      the path of the root
 * @param directory NULL: the root
 * @param name      NULL: the directory itself
 */
void directory_path(const char *root, const struct directory *directory, const char *name,
                    char *buffer, size_t size);
