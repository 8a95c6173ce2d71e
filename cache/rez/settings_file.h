/*
 * A file of settings: lines of the form NAME = VALUE, where NAME is that of a flag.
 *
 *     # a comment, also behind a value, with a space before it
 *     cache = /var/cache/packages
 *     max-size = 80%
 *     local-path = "/svr/a # b"
 *
 * A value in double quotes keeps its spaces and signs; in it, \" is a quote, \\ a backslash, and
 * \n, \t and \x1b are bytes that no line may hold as they are. A name without a value is not set.
 * What is given twice counts as given last. What is written here is foreign input, though of a file
 * that is trusted (settings_files.h).
 */
#pragma once

#include "cache/util/text.h"

enum { SETTINGS_FILE_BYTES_MAX = 1 << 20, SETTINGS_LINE_BYTES_MAX = 1 << 16 };

/** A line that says something. */
struct settings_line {
    unsigned number;   /* from 1 */
    const char *name;  /* NULL: the line cannot be read */
    const char *value; /* "": none */
    const char *fault; /* why it cannot be read; NULL: it can */
};

/**
 * Reads a text, line by line.
 *
 * @param text    is changed; NULs may be in it
 * @param length  bytes, without the NUL behind them
 * @param on_line called for each line that is neither empty nor a comment; its strings are valid
 *                during the call. What is not 0 ends it
 * @return        0, or what `on_line` returned
 */
int settings_file_parse(char *text, size_t length,
                        int (*on_line)(void *context, const struct settings_line *line),
                        void *context);

/**
 * Appends a value as it has to stand in a file: in quotes where it would be read as something else.
 *
 * @param value any bytes; "" is none
 */
void settings_file_write_value(struct text *text, const char *value);
