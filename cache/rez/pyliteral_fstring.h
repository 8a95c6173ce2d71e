/*
 * Where a formatted string ends: with expressions inside that may have strings of their own (PEP
 * 498, PEP 701). Not for what it says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * @param at           behind the opening quotes
 * @param quote        one of them
 * @param quote_length 1 or 3
 * @param raw          it has the prefix `r`
 * @return             behind the closing quotes; NULL: it does not end, or not for every version of
 *                     Python in the same place
 */
const char *fstring_skip(const char *at, const char *end, char quote, size_t quote_length,
                         bool raw);
