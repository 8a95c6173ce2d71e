/* What rez-pkg-cache says, in rez's form and colours. */
#pragma once

#include "cache/util/error.h"

enum rez_level { REZ_INFO, REZ_WARNING, REZ_ERROR };

/** rez's styles; the numbers are those of SGR, ECMA-48. */
enum rez_style {
    REZ_PLAIN = 0,
    REZ_DIM = 2,
    REZ_RED = 31,
    REZ_GREEN = 32,
    REZ_YELLOW = 33,
    REZ_BLUE = 34,
};

/** Prints "HH:MM:SS LEVEL    TEXT" on standard error. */
void rez_message(enum rez_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/** Prints "HH:MM:SS ERROR    PackageCacheError: TEXT" on standard error. @return EXIT_FAILED */
int rez_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/** The same for settings: "ConfigurationError: TEXT". @return EXIT_FAILED */
int rez_fail_settings(const struct pkgcache_error *error);

/** The style of a level. */
enum rez_style rez_level_style(enum rez_level level);

/**
 * Prints a line, in its style if the stream is a terminal and REZ_COLOR_ENABLED does not say no. On
 * a terminal, what could move its cursor is escaped (visible.h).
 */
void rez_print_line(FILE *stream, enum rez_style style, const char *text);
