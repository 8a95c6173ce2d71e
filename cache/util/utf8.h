/*
 * UTF-8, and the two ways in which Python bends it: strings with lone surrogates (written here as
 * three bytes each, "generalised UTF-8", https://simonsapin.github.io/wtf-8/), and paths whose
 * undecodable bytes become U+DC80 to U+DCFF (PEP 383, os.fsdecode). Not for other encodings.
 */
#pragma once

#include "cache/util/text.h"

#include <stdint.h>

enum utf8_kind {
    UTF8_STRICT,      /* as RFC 3629 has it: no surrogates */
    UTF8_GENERALISED, /* surrogates are allowed */
};

enum { UTF8_MAX_BYTES = 4 };

/**
 * Reads one code point.
 *
 * @param bytes          the text; length must be at least 1
 * @param ret_code_point receives U+0000 to U+10FFFF
 * @return               bytes read, 1 to 4; 0: no valid sequence begins here, nothing was received
 */
size_t utf8_decode(const char *bytes, size_t length, enum utf8_kind kind, uint32_t *ret_code_point);

/**
 * Writes one code point, a surrogate as three bytes.
 *
 * @param code_point U+0000 to U+10FFFF
 * @return           bytes written, 1 to 4; there is no final NUL
 */
size_t utf8_encode(uint32_t code_point, char ret_bytes[UTF8_MAX_BYTES]);

/** Whether all of a text is UTF-8. */
bool utf8_is_valid(const char *bytes, size_t length, enum utf8_kind kind);

/**
 * What os.fsencode does: U+DC80 to U+DCFF become the bytes they stand for.
 *
 * @param bytes    generalised UTF-8
 * @param ret_path room for length + 1 bytes; receives the path and a NUL; undefined on failure
 * @return         0, or -EILSEQ: a surrogate that stands for no byte
 */
int utf8_to_path(const char *bytes, size_t length, char *ret_path);

/** What os.fsdecode does: appends a path's bytes, those that are not UTF-8 as U+DC80 to U+DCFF. */
void utf8_append_path(struct text *text, const char *path, size_t length);
