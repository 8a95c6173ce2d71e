/* What a Python string token says. Not for bytes, nor for formatted strings. */
#pragma once

#include "cache/rez/pyliteral_token.h"
#include "cache/text.h"

/**
 * Appends a string's value: generalised UTF-8.
 *
 * @return false: Python refuses it, or it is not known (bytes, formatted, `\N{...}`); what was
 *         appended is undefined then
 */
bool pystring_append(struct text *text, const struct token *token);
