/*
 * Text that others wrote, for people to see: in messages, tables, the log. What could move a
 * terminal's cursor, colour it, reverse a line or forge one is escaped.
 */
#pragma once

#include "cache/util/text.h"

/**
 * Appends a text. Control characters, bytes that are not UTF-8, and whatever else is not printable
 * (repr.h) become `\n`, `\x1b`, `\u202e`, … as in C and Python. Backslashes stay as they are: this
 * is to be read, not to be read back.
 */
void visible_append(struct text *text, const char *bytes, size_t length);
