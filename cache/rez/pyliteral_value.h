/*
 * Literals of Python: expressions without names, calls and arithmetic. `and`, `or`, `not` and
 * conditional expressions are folded as Python evaluates them. Not for statements.
 */
#pragma once

#include "cache/rez/pyliteral_token.h"
#include "cache/rez/values.h"

enum { LITERAL_MAX_VALUES = 1 << 20 }; /* in a module: some 100 MiB */

struct literals {
    struct tokenizer *tokenizer;
    struct values *values;
    struct pkgcache_error *error;
    size_t count; /* of values */
    int depth;
};

/**
 * Reads what stands right of a `=`: an expression, or several with commas between them: a tuple.
 * The present token is its first, and afterwards the one behind it.
 *
 * @return 1: it is literal, and *ret_value set; 0: it is not, as far as can be seen; or as of
 *         tokenizer_next; -ENOMEM
 */
int literal_read(struct literals *literals, struct json **ret_value);

/**
 * Reads a call whose arguments all have names and literal values: `NAME(key=literal, ...)`.
 *
 * @return as of literal_read; *ret_call: an object of the arguments whose `text` is the NAME
 */
int literal_read_call(struct literals *literals, struct json **ret_call);
