/* Following a path through links that were put there by people whom we trust. */
#pragma once

/**
 * Opens a directory by an absolute path. Symbolic links on the way, and at its end, are followed if
 * they belong to root or to this user: others can change where theirs lead to.
 *
 * @return a descriptor; -ELOOP: there is a link of somebody else, or there are too many; or -errno
 */
int own_path_open_directory(const char *path);

/** The same for what is no directory. @param flags of open(2) @return as own_path_open_directory */
int own_path_open(const char *path, int flags);
