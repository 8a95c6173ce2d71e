/*
 * The line format of the small records inside lock files and `.copying` files: a first line
 * `pkgcache-owner 1`, then `KEY VALUE` lines, each ended by a line feed; an empty line, or the end
 * of the text, ends it. Values are checked here, meanings are given elsewhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_FIRST_LINE "pkgcache-owner 1\n"

/** One line; it points into the text. */
struct record_line {
    const char *key, *value;
    size_t key_length, value_length; /* bytes; the value may be empty */
};

/** Where a reader is in a record. */
struct record_reader {
    const char *at, *end;
};

/**
 * Whether a text is a record's, whole or not: empty, cut off in its first line, or lost with the
 * power (zeros). What is anything else was not written by us, and is not ours to write to.
 */
bool record_may_be(const char *text, size_t length);

/**
 * Begins to read a record.
 *
 * @return 0, or -EBADMSG: the first line is another
 */
int record_open(struct record_reader *reader, const char *text, size_t length);

/**
 * Reads the next line.
 *
 * @return 1; 0: there are no more; -EBADMSG: not a line, or one that was cut off
 */
int record_next(struct record_reader *reader, struct record_line *ret_line);

/** Whether the line has this key. */
bool record_is(const struct record_line *line, const char *key);

/**
 * Reads a line's value as a number: decimal, no sign, no leading zeros.
 *
 * @return 0, or -EBADMSG: not a number, or greater than `maximum`
 */
int record_number(const struct record_line *line, uint64_t maximum, uint64_t *ret_value);

/**
 * Reads a line's value as printable ASCII.
 *
 * @param size of `ret_value` in bytes, the NUL included
 * @return     0, or -EBADMSG: empty, too long, or with other bytes in it
 */
int record_string(const struct record_line *line, char *ret_value, size_t size);
