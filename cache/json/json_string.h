/*
 * JSON strings: how Python's json.dumps writes them, and how a message shows a string that nobody
 * has vouched for. Values are json.h's business.
 */
#pragma once

#include "cache/util/utf8.h"

enum { JSON_QUOTE_SIZE = 128 }; /* bytes of a quoted value in a message, the NUL included */

/**
 * Appends a JSON string, ASCII only.
 *
 * @param kind UTF8_STRICT: paths and other bytes; UTF8_GENERALISED: what json_parse() decoded. What
 * is not UTF-8 of this kind is written as \udc80 to \udcff, as os.fsdecode has it
 */
void json_write_text(struct text *text, const char *bytes, size_t length, enum utf8_kind kind);

/** Appends a path or other bytes as a JSON string: json_write_text() with UTF8_STRICT. */
void json_write_string(struct text *text, const char *bytes, size_t length);

/** Bytes for a message, as json_write_string() writes them, shortened with `...`, safe for a
 * terminal. Returns the buffer. */
const char *json_quote_string(const char *bytes, size_t length, char ret_buffer[JSON_QUOTE_SIZE]);

/** Ends a fixed text that was truncated in `...`; returns its bytes. The capacity must be at
 * least 4. */
const char *json_shorten(struct text *text);
