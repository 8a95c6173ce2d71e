/*
 * What stands in /etc/pkgcache.conf and in the user's own file, and what of all that was written
 * for pkgcache means nothing: names that there are not, in files and variables.
 *
 * A file is only read if whoever can write to it may decide for this process: it belongs to root or
 * to the effective user, and others cannot write to it; for root, its group cannot either. Else the
 * user of a file in a shared home directory, say, would choose which cache root cleans.
 */
#pragma once

#include "cache/rez/setting_table.h"

/** Something that is wrong. Both texts are for people. */
struct settings_problem {
    char *where; /* "FILE, line N", or a variable */
    char *what;
    bool fatal; /* else it is only passed over */
};

struct settings_problems {
    struct settings_problem *items;
    size_t count;
};

/** Adds a problem. @return 0 or -ENOMEM */
int settings_problems_add(struct settings_problems *problems, bool fatal, const char *where,
                          const char *what);

void settings_problems_free(struct settings_problems *problems);

/** A value in whose place a later line of its file has put another one. */
struct settings_earlier {
    enum setting_id id;
    char *text; /* NULL: none */
    char *origin;
};

/** One of the two files. */
struct settings_source {
    char *path;                                 /* NULL: there can be none */
    bool found;                                 /* it is there */
    struct setting_value values[SETTING_COUNT]; /* text and origin; not checked yet */
    char *origins[SETTING_COUNT];
    struct settings_earlier *earlier; /* in the order of their lines; they do not count */
    size_t earlier_count;
};

enum { SETTINGS_USER_FILE, SETTINGS_SYSTEM_FILE, SETTINGS_FILE_COUNT };

/** The files, in the order in which they count. */
struct settings_files {
    struct settings_source sources[SETTINGS_FILE_COUNT];
};

/**
 * Reads both files.
 *
 * @param ret      freed with settings_files_free
 * @param problems gets what is wrong
 * @return         0 or -ENOMEM
 */
int settings_files_read(struct settings_files **ret, struct settings_problems *problems);

/** NULL is fine. */
void settings_files_free(struct settings_files *files);

/** Whether a setting is a path, or, as SETTING_REPOSITORIES, a list of them: these are absolute in
 * a file. */
bool settings_is_path(enum setting_id id);

/** Names the PKGCACHE_ variables that mean nothing. @return 0 or -ENOMEM */
int settings_files_find_unknown_variables(struct settings_problems *problems);
