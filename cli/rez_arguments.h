/* The command line of rez-pkg-cache, read as rez reads it: by the rules of Python's argparse. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum rez_action {
    REZ_LIST, /* nothing else was asked for */
    REZ_ADD,
    REZ_LOGS,
    REZ_REMOVE,
    REZ_CLEAN,
    REZ_DAEMON,
};

enum rez_column {
    REZ_COLUMN_STATUS,
    REZ_COLUMN_PACKAGE,
    REZ_COLUMN_VARIANT_URI,
    REZ_COLUMN_ORIG_PATH,
    REZ_COLUMN_CACHE_PATH,
    REZ_COLUMN_COUNT,
};

enum rez_mode { REZ_MODE_UNSET, REZ_MODE_SYNC, REZ_MODE_ASYNC };

struct rez_arguments {
    enum rez_action action;
    const char **uris; /* of REZ_ADD and REZ_REMOVE; the strings are argv's */
    size_t uri_count;
    enum rez_mode mode;
    enum rez_column
        *columns; /* in the order in which they are printed, any of them several times */
    size_t column_count;
    bool force;
    const char *directory; /* NULL: that of the settings */
};

extern const char *const rez_column_names[REZ_COLUMN_COUNT];

/**
 * Reads the command line. Help goes to standard output, what is wrong to standard error.
 *
 * @param ret filled in when -1 is returned; freed with rez_arguments_free in any case
 * @return    an exit code to end with, or -1: go on
 */
int rez_arguments_read(int argc, char **argv, struct rez_arguments *ret);

/** Says what is wrong with the command line as argparse does: the usage first. @return EXIT_USAGE
 */
int rez_arguments_refuse(const char *message);

void rez_arguments_free(struct rez_arguments *arguments);
