/*
 * Tokens of a Python module: lexical analysis as CPython does it, without tables
 * (https://docs.python.org/3.11/reference/lexical_analysis.html). Every byte that is not ASCII
 * counts as a letter. Not for judging whether a text is Python: numbers and strings are only
 * delimited.
 */
#pragma once

#include "cache/util/error.h"

#include <stdbool.h>

enum {
    PYTHON_MAX_BRACKETS = 200, /* inside each other: Python's own limit */
    PYTHON_MAX_INDENTS = 100,
};

enum token_kind {
    TOKEN_END,
    TOKEN_NEWLINE, /* of a logical line */
    TOKEN_INDENT,
    TOKEN_DEDENT,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_OPERATOR, /* brackets, `=`, `:=`, `+=`, ... */
};

struct token {
    enum token_kind kind;
    unsigned line; /* where it begins, from 1 */
    int depth;     /* of brackets around it; of a bracket itself: outside */
    const char *text;
    size_t length;

    /* of a string */
    size_t prefix_length; /* letters before the quote */
    size_t quote_length;  /* 1 or 3 */
};

/** Where reading stands. */
struct tokenizer {
    const char *at;
    const char *end;
    unsigned line;
    bool at_line_start;
    int depth;
    char brackets[PYTHON_MAX_BRACKETS];
    int indents;
    int pending_dedents;
    int columns[PYTHON_MAX_INDENTS];
    int alternate_columns[PYTHON_MAX_INDENTS]; /* with tabs as wide as spaces: must agree */
    struct token token;                        /* the present one */
};

/** A place to go back to, before which no bracket is closed in between. */
struct tokenizer_mark {
    const char *at;
    unsigned line;
    int depth;
    struct token token;
};

/** @param text UTF-8 without NULs and carriage returns, must outlive the tokens */
void tokenizer_start(struct tokenizer *tokenizer, const char *text, size_t length);

/**
 * Makes the next token the present one. After the end come only ends.
 *
 * @return 0; -EBADMSG: no Python (the message says where and why); -ENODATA: what stands here and
 *         follows is read differently by different versions of Python
 */
int tokenizer_next(struct tokenizer *tokenizer, struct pkgcache_error *ret_error);

/** Makes the next word the present token, whatever stands before it. Returns false at the end. */
bool tokenizer_next_word(struct tokenizer *tokenizer);

/** Whether a string has expressions inside. */
bool token_is_formatted(const struct token *token);

/** The present token, to return to; not for a newline, a dedent or an indent. */
struct tokenizer_mark tokenizer_mark(const struct tokenizer *tokenizer);
void tokenizer_return(struct tokenizer *tokenizer, const struct tokenizer_mark *mark);

/** Whether a token is this operator or name. */
bool token_is(const struct token *token, const char *text);

/** Whether a string's prefix has this letter, given in lower case. */
bool token_has_prefix(const struct token *token, char letter);
