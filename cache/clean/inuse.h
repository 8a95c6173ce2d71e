/*
 * What of a cache is in use by the processes of this machine, as far as /proc shows it. What cannot
 * be seen, and what follows from that, is said in inuse.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What is in use. Starts zeroed, and is freed with inuse_free(). */
struct inuse {
    uint64_t *keys; /* a hash table; 0: free */
    size_t capacity;
    size_t count;
    bool everything;    /* there was no memory, or no /proc: all counts as in use */
    unsigned unseen;    /* people's processes that could not be looked into */
    int64_t seen_at_ns; /* CLOCK_REALTIME, before the first look */
};

/**
 * Scans all processes: the files that they have mapped, open, as working directory, root or
 * program, and the paths in their environment; and all mounts.
 *
 * @param ret filled in whatever happens
 */
void inuse_scan_processes(struct inuse *ret);

/**
 * Whether a process uses a path. Two paths may share a key: then both are in use when one is.
 *
 * @param key text_key() of the path relative to the cache: NAME/VERSION/HASH4/INC of a slot
 *            (slot_key()), or .sys/to_delete/NAME
 */
bool inuse_has(const struct inuse *inuse, uint64_t key);

/**
 * Whether what was used last at this time may be in use by a process that could not be looked into.
 *
 * @param last_used_s seconds since the epoch
 */
bool inuse_may_be_unseen(const struct inuse *inuse, int64_t last_used_s);

/**
 * Adds what a text names: every path in it that ends, or goes on, below a slot. For tests, and for
 * texts that come in pieces.
 *
 * @param text   need not end in a NUL
 * @param length bytes
 */
void inuse_add_text(struct inuse *inuse, const char *text, size_t length);

void inuse_free(struct inuse *inuse);
