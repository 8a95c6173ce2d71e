/*
 * A growable buffer of bytes, for everything that builds text: JSON, Python's repr, file contents.
 * It remembers that memory ran out, so callers check once, at the end. Not for binary formats, and
 * not shared between threads.
 */
#pragma once

#include "engine/compiler.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/** Starts as `struct text text = {0};`, or from text_over(). `bytes` is NULL until the first
 * append, and ends in a NUL that `length` does not count from then on. */
struct text {
    char *bytes;
    size_t length;   /* bytes */
    size_t capacity; /* bytes, the NUL included */
    int error;       /* 0, or -ENOMEM (of a json_stream, also what its file said): something is
                        missing from the text, throw it away */
    bool fixed;      /* over a buffer of the caller's */
    bool truncated;  /* fixed, and something did not fit */
};

/**
 * A text over a buffer that does not grow: what does not fit is cut off, and `truncated` says so.
 *
 * @param buffer   the caller's, and must outlive the text; holds "" afterwards
 * @param capacity bytes, at least 1
 * @return         the text; text_free() is not needed, and harmless
 */
struct text text_over(char *buffer, size_t capacity);

/**
 * Makes room, so that `text->bytes + text->length` takes `additional` bytes more and a NUL.
 *
 * @return 0, or -ENOMEM (remembered in the text): not enough memory, or a fixed text is full
 */
int text_reserve(struct text *text, size_t additional);

/** Appends `length` bytes. Failure is remembered in the text. */
void text_append(struct text *text, const char *bytes, size_t length);

/** Appends a C string. Failure is remembered in the text. */
void text_append_string(struct text *text, const char *string);

/** Appends one byte. Failure is remembered in the text. */
void text_append_byte(struct text *text, char byte);

/** Appends as printf does. Failure is remembered in the text. */
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

/** Formats as vprintf(3). @return allocated; NULL: no memory */
char *text_vformat(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/**
 * Hands the bytes on, and leaves an empty text behind, whether it fails or not.
 *
 * @param ret_bytes  receives the bytes and a NUL, also for an empty text; the caller frees them
 * @param ret_length receives the number of bytes; may be NULL
 * @return           0, or -ENOMEM: an append failed; or -EINVAL: the text is over a fixed buffer
 */
int text_steal(struct text *text, char **ret_bytes, size_t *ret_length);

/** Frees the bytes, and leaves an empty text behind. */
void text_free(struct text *text);

/** What stands for bytes in a table: a 64-bit number, never 0 (FNV-1a). Two may share one. */
uint64_t text_key(const char *bytes, size_t length);

#define CLEANUP_TEXT __attribute__((cleanup(text_free)))
