/*
 * What stands inside `.sys/pkgcache.lock`: who holds the lock, for messages; and how busy all our
 * processes keep it, for fairness towards rez. Only its holder writes it. Nothing rests on it: when
 * it cannot be read, or written (a full disk), the lock works all the same.
 */
#pragma once

#include "cache/owner/owner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOCK_RECORD_BYTES = 1024, LOCK_RECORD_WINDOW_MS = 2000 };

/** All 0 where nothing is known. Times are CLOCK_MONOTONIC, which all processes share. */
struct lock_record {
    struct owner holder;       /* the last one; it may have released the lock since */
    uint64_t held_since_ns;    /* 0: it has */
    uint64_t window_start_ns;  /* the present window of 2 s */
    uint64_t window_held_ns;   /* for how long the lock was held in it */
    uint64_t previous_held_ns; /* and in the window before it */
    uint64_t wall_at_boot_ns;  /* wall-clock time of boot, as the last holder saw it */
};

/**
 * Writes a record as text of LOCK_RECORD_BYTES bytes, padded with line feeds, so that a later one
 * always covers it.
 */
void lock_record_format(const struct lock_record *record, char ret_text[static LOCK_RECORD_BYTES]);

/**
 * Reads a record's text.
 *
 * @return 0, or -EBADMSG
 */
int lock_record_parse(const char *text, size_t length, struct lock_record *ret_record);

/**
 * Reads the record in a lock file; what is not readable comes out as all 0.
 */
void lock_record_read(int fd, struct lock_record *ret_record);

/** Writes the record into a lock file, if it can. */
void lock_record_write(int fd, const struct lock_record *record);

/** Counts that the lock was held from `start_ns` to `end_ns`, in order of time. */
void lock_record_count(struct lock_record *record, uint64_t start_ns, uint64_t end_ns);

/** Whether the lock was held for more than half of the last 2 s, up to `now_ns`. */
bool lock_record_is_busy(const struct lock_record *record, uint64_t now_ns);

/** Whether the wall clock was set, by a second or more, since this record was written. */
bool lock_record_clock_was_set(const struct lock_record *record, const struct owner *self);
