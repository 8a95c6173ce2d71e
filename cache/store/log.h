/*
 * The log of a cache: rez's files, `.sys/log/YYYY-MM-DD.log`, in rez's words where rez has words
 * for it. Logging never fails: where the log may not be written, nothing is logged. Old files are
 * clean's to delete.
 */
#pragma once

#include "cache/store/cache.h"

enum {
    LOG_LINE_MAX = 8192,     /* bytes, the line feed included; longer lines are cut */
    LOG_SHOWN_MAX = 1 << 20, /* bytes of a line that are read */
    LOG_URI_MAX = 6144,
};

/** A line of a log file, which anybody may have written. */
struct log_line {
    size_t bytes;  /* in the file, the line feed included */
    size_t length; /* of the text; the rest of a line that is longer is left out */
    bool whole;    /* it ends in a line feed */
    char text[LOG_SHOWN_MAX + 1];
};

/**
 * Appends a line to today's file, in one piece whatever other processes do at the same time. What
 * is no character to be shown (a line feed in a path) is escaped as in C.
 */
void log_write(struct pkgcache *cache, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);

/**
 * Makes the text that a line is from a message.
 *
 * @param time of the clock CLOCK_REALTIME; printed as local time
 * @param ret  ends in a line feed, and then a NUL
 * @return     bytes, without the NUL
 */
size_t log_format(struct timespec time, pid_t pid, enum log_level level, const char *message,
                  char ret[static LOG_LINE_MAX + 1]);

/** Reads the next line, in bounded memory. @return false: the file ends */
bool log_read_line(FILE *file, struct log_line *ret);

/** The name of a day's file. @return ret */
const char *log_file_name(time_t time, char ret[static 32]);

/** Whether a file in the directory of logs is a day's. */
bool log_is_file_name(const char *name);

/**
 * How a log calls a variant: by its URI. The definition is taken to be a package.py, without
 * looking: a line in a log is not worth waiting for a file server.
 *
 * @return ret
 */
const char *log_uri(const struct pkgcache_handle *handle, char ret[static LOG_URI_MAX]);
