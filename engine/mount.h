/*
 * Where a directory is in its file system, whatever mount leads to it: one file system may be
 * mounted in several places, also a part of it (bind mounts).
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/** One line of /proc/PID/mountinfo, see proc(5). */
struct mount_line {
    unsigned id;
    unsigned major; /* of the file system */
    unsigned minor;
    char root[PATH_MAX];  /* what of it is mounted */
    char point[PATH_MAX]; /* and where */
};

/** Reads a line. @param line without the line feed @return whether it was one */
bool mount_line_parse(const char *line, struct mount_line *ret);

/** Whether `path` is `directory`, or below it: both absolute, without links. @return what follows
 * in `path`, "" or with a slash in front; NULL: it is not */
const char *mount_path_below(const char *path, const char *directory);
