/* A JSON value as it was read: the types, without what is done with them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    JSON_MAX_DEPTH = 64,            /* containers inside each other */
    JSON_MAX_INTEGER_DIGITS = 4300, /* Python's int() takes no more */
};

enum json_type {
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_INTEGER,
    JSON_REAL,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_TUPLE, /* never parsed: an array that Python would print as a tuple */
};

/** One value. What a type does not use is zero. */
struct json {
    enum json_type type;
    bool boolean;

    /* string: the decoded bytes, generalised UTF-8, NULs possible; integer, real: the literal, as
       it stood in the text. A NUL follows that text_length does not count. */
    const char *text;
    size_t text_length;

    /* array, tuple, object: the values in order, each linked by its `next` */
    struct json *first;
    struct json *next;

    /* in an object: the member's name, as for strings */
    const char *key;
    size_t key_length;
};
