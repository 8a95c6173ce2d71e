/*
 * The literal part of a Python module: what top-level names are assigned, as far as that can be
 * known without running it. Grammar: https://docs.python.org/3.11/reference/ (lexical analysis;
 * atoms; boolean operations; conditional expressions). What is read has the value that Python gives
 * it, or is said not to be literal; never another value. Not a Python parser: what is skipped
 * (functions, classes, ...) is not checked for being Python.
 */
#pragma once

#include "cache/rez/values.h"

/** The last assignment of a name at the top level. */
struct pyliteral_name {
    const char *name;
    unsigned line;      /* of that assignment, from 1 */
    struct json *value; /* tuples and sets have types of their own; NULL: it is not literal */
    struct pyliteral_name *next;
};

struct pyliteral_module {
    struct values values;
    struct pyliteral_name *names; /* in the order in which they were first assigned */
};

/**
 * Reads a module.
 *
 * @param text need not end in NUL, and is not needed afterwards
 * @param ret  filled in when 0 is returned; ended with pyliteral_free
 * @return     0; -EBADMSG: not UTF-8 (a declared encoding is refused, too), or not Python in a way
 *             that leaves no doubt (brackets, indentation, strings that do not end), or nested
 *             deeper than JSON_MAX_DEPTH (the message says which, with the line); -ENOMEM
 */
int pyliteral_parse(const char *text, size_t length, struct pyliteral_module *ret,
                    struct pkgcache_error *ret_error);

/** @return what a name was assigned; NULL: nothing */
const struct pyliteral_name *pyliteral_find(const struct pyliteral_module *module,
                                            const char *name);

void pyliteral_free(struct pyliteral_module *module);
