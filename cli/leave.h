/* Leaving whoever started a process that stays: what they have open, and where they stand. Else a
 * script's lock is held, and a file system busy, for as long as the process runs. */
#pragma once

/**
 * Closes all descriptors but 0, 1, 2 and one more.
 *
 * @param kept -1: no other
 */
void leave_descriptors(int kept);

/**
 * Goes to `/`. What was given relative to the directory before stays what it was: variables that
 * hold paths are made absolute, and all else is to be, by leave_resolve(). Before there are
 * threads.
 *
 * @param ret_directory the directory before; freed by the caller; NULL: it is gone
 * @return              0 or -errno
 */
int leave_directory(char **ret_directory);

/**
 * Makes a path absolute.
 *
 * @param directory that it is relative to; NULL: it is gone
 * @param path      allocated; replaced when it is relative
 * @return          0; -ENOENT: there is no such directory; -ENOMEM
 */
int leave_resolve(const char *directory, char **path);

/** The same for a list of paths with colons between them. */
int leave_resolve_list(const char *directory, char **paths);
