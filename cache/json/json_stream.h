/*
 * A JSON document that is printed piece by piece, for arrays as long as users like: each element is
 * built (json_build.h), printed and forgotten before the next one.
 *
 *     struct json_stream stream = {.file = stdout};
 *     json_stream_open(&stream, NULL, '{');
 *     json_stream_add_members(&stream, object);
 *     json_stream_open(&stream, "results", '[');
 *     json_stream_add(&stream, element); ...
 *     json_stream_close(&stream, ']');
 *     json_stream_close(&stream, '}');
 *     int result = json_stream_end(&stream);
 *
 * The first failure is remembered, and json_stream_end() says so.
 */
#pragma once

#include "cache/json/json_build.h"

#include <stdio.h>

struct json_stream {
    FILE *file;       /* receives what is printed; NULL: it stays in `text` */
    struct text text; /* of a stream without a file: all of it */
    bool separate;    /* a comma comes before what is next */
};

/** Opens an array or an object. @param name in the object that is open; NULL: an element, or the
 * document */
void json_stream_open(struct json_stream *stream, const char *name, char bracket);

/** Closes it. */
void json_stream_close(struct json_stream *stream, char bracket);

/** Prints an element of the array that is open, and frees it. @param item NULL: no memory */
void json_stream_add(struct json_stream *stream, cJSON *item);

/** Prints the members of an object as members of the one that is open, and frees it. */
void json_stream_add_members(struct json_stream *stream, cJSON *object);

/** Prints elements that were added to a stream without a file, in which nothing was opened. */
void json_stream_add_elements(struct json_stream *stream, const struct json_stream *elements);

/** Ends the stream and frees its memory. @return 0; -ENOMEM, or what writing said: something is
 * missing */
int json_stream_end(struct json_stream *stream);
