/* What a Python string token says. Not for bytes, nor for formatted strings. */
#pragma once

#include "cache/rez/pyliteral_token.h"
#include "cache/util/text.h"

/**
 * Appends a string's value: generalised UTF-8.
 *
 * @return false: Python refuses it, or it is not known (bytes, formatted, `\N{...}`); what was
 *         appended is undefined then
 */
bool pystring_append(struct text *text, const struct token *token);

/**
 * A string that stands in the module as its value has it: in ASCII, not empty, without escapes.
 *
 * @param ret_name a name token of that text
 * @return         false: it is not such a string
 */
bool pystring_name(const struct token *token, struct token *ret_name);
