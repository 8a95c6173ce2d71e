/* What a Python number token is. Not for complex ones. */
#pragma once

#include "cache/json/json.h"
#include "cache/rez/pyliteral_token.h"

/**
 * Appends a number as Python's repr has it.
 *
 * @param negative a sign stands before it
 * @param ret_type JSON_INTEGER or JSON_REAL
 * @return         false: Python refuses it, or it is not known: complex, infinite, beyond 64 bits
 * in a base other than ten; or no memory (the text knows)
 */
bool pynumber_append(struct text *text, const struct token *token, bool negative,
                     enum json_type *ret_type);
