/*
 * Versions as rez orders them: tokens of letters, digits and `_`, between single dots or hyphens.
 * Not for ranges; they are requirement.h's business.
 */
#pragma once

#include <stddef.h>

/** How a version begins a text: its bytes; 0: none does. */
size_t version_length(const char *text, size_t length);

/**
 * The order that rez has of versions: token by token, each split into letters and numbers; letters
 * come before numbers, numbers count as such and then as text ("01" < "1"), what ends first comes
 * first. Separators do not count.
 *
 * @param a,b versions, or empty, which is the smallest
 * @return    as strcmp(3)
 */
int version_compare(const char *a, size_t a_length, const char *b, size_t b_length);
