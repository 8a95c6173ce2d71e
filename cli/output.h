/* What the program says: errors on standard error, documents on standard output. */
#pragma once

#include "cache/json/json_build.h"
#include "cli/options.h"
#include "cli/output_parts.h"

/**
 * Prints "pkgcache: MESSAGE" on standard error, or one JSON object with --json or --progress json.
 *
 * @param exit_code  what the program will end with; 0: it goes on
 * @param code       an errno value; 0: none
 * @return           exit_code
 */
int output_error(const struct options *options, int exit_code, int code, const char *format, ...)
    PRINTF_LIKE(4, 5);

/** Prints "pkgcache: PATH: TEXT", or one JSON object as output_error(); not with -q. */
void output_warning(const struct options *options, const char *path, const char *text);

/** Prints each problem as a warning. */
void output_problems(const struct options *options, const struct settings_problems *problems);

/**
 * Prints a line for people on standard output. What others wrote and could move a terminal's cursor
 * is escaped, here as in all messages (visible.h).
 */
void output_line(const char *format, ...) PRINTF_LIKE(1, 2);

/** Prints a line for programs on standard output; on a terminal as output_line does. */
void output_data(const char *text);

/** What is shown on a terminal in place of a text, allocated; NULL: no memory. */
char *output_shown(const char *text);

/** Prints a line on standard error with -v, or one JSON object as output_error(). */
void output_verbose(const struct options *options, const char *format, ...) PRINTF_LIKE(2, 3);

/** Prints a document on standard output, and frees it. @param item NULL: no memory @return an exit
 * code */
int output_document(const struct options *options, cJSON *item);

/** Ends a document that was printed on standard output. @param result json_stream_end()'s
 * @return an exit code */
int output_end_document(const struct options *options, int result);

/** Ends standard output; a write that failed is an error after all. @return an exit code */
int output_end(const struct options *options, int exit_code);

/** What a status is called: cached, copying, stalled, pending, missing, removed, … */
const char *output_status(int status);

/** The exit code for an error of the library: 5 for the lock, 128 + signal when interrupted. */
int output_exit_code(int result);
