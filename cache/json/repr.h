/*
 * Python's repr() of JSON values, which is what a handle's hash is taken of. Printable means what
 * it means to Python 3.11 (Unicode 14). Not for showing values to people: what it appends is not
 * safe for a terminal; json_quote() and visible.h are.
 */
#pragma once

#include "cache/json/json.h"

/** Whether Python prints a code point as it is. */
bool repr_is_printable(uint32_t code_point);

/**
 * Appends repr(value): `None`, `True`, `1.0`, `'text'`, `[...]`, `('one',)`, `{'key': ...}`.
 * Recursion is as deep as the value, so at most JSON_MAX_DEPTH for what was parsed. The result is
 * UTF-8.
 */
void repr_append(struct text *text, const struct json *value);

/** Appends repr() of a string, given as generalised UTF-8; other bytes count as os.fsdecode has
 * them. */
void repr_append_string(struct text *text, const char *bytes, size_t length);
