/*
 * The literal part of a Python module: what top-level names are assigned, as far as that can be
 * known without running it. Grammar: https://docs.python.org/3.11/reference/ (lexical analysis;
 * atoms; boolean operations; conditional expressions). What is read has the value that Python gives
 * it, or is said not to be literal; never another value. Not a Python parser: what is skipped
 * (functions, classes, ...) is not checked for being Python.
 */
#pragma once

#include "cache/rez/pyliteral_name.h"
#include "cache/rez/values.h"

struct pyliteral_module {
    struct values values;
    struct pyliteral_name *names;  /* in the order in which they were first mentioned */
    struct pyliteral_name unknown; /* its line is not 0: there any name may have been assigned */
};

/**
 * Reads a module. What a name may be assigned where that cannot be followed (in a block, by a loop,
 * an import, a call of exec, another name for the same list) makes it not literal, unless it is
 * assigned a literal later. Not known, either, are sets, bytes, complex and infinite numbers,
 * `\\N{...}`, dictionaries with keys other than strings, and what is nested deeper than
 * JSON_MAX_DEPTH. rez's `with scope("config") as c:` with a block of `c.key = literal`
 * makes `config` a dictionary, whatever else is assigned to it; any other use of `scope`, not
 * literal.
 *
 * @param text need not end in NUL, and is not needed afterwards
 * @param ret  filled in when 0 is returned; ended with pyliteral_free
 * @return     0; -EBADMSG: not UTF-8, or not Python in a way that leaves no doubt (brackets,
 *             indentation, strings that do not end, nesting deeper than Python allows, `raise`
 *             in no block), or more than a quarter of a million names (the message says which, with
 * the line); -ENOMEM
 */
int pyliteral_parse(const char *text, size_t length, struct pyliteral_module *ret,
                    struct pkgcache_error *ret_error);

/** @return what a name was assigned, or may have been; NULL: nothing */
const struct pyliteral_name *pyliteral_find(const struct pyliteral_module *module,
                                            const char *name);

void pyliteral_free(struct pyliteral_module *module);
