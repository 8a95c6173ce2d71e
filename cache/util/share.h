/*
 * Caches of several users. What is made in a cache follows the directory it is made in: where a
 * group may write, it may write to what is new there, too, whatever the umask says; so it is for
 * everybody, except where the sticky bit says that each is to keep off the others' files. A cache
 * that is one user's is left to the umask. Payloads keep the modes of their source; in a sticky
 * cache all but the permission of others to write to directories.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/** Whether several users write to a directory of this mode, and are kept off each other's files. */
bool share_is_sticky(mode_t directory_mode);

/** The bits that a new file in a directory of this mode needs in addition. */
mode_t share_file_bits(mode_t directory_mode);

/** The same for a new directory: with the sticky bit, but for set-group-ID, which is inherited. */
mode_t share_directory_bits(mode_t directory_mode);

/**
 * Gives what this user owns the group of the directory that it is in, and bits that it lacks. What
 * cannot be given is not: then only its owner can use it.
 *
 * @param bits of share_file_bits or share_directory_bits; 0: nothing is done
 */
void share_follow(int fd, const struct stat *directory, mode_t bits);

/**
 * Opens a directory, made before if it is missing, and then with these bits. Never through a
 * symbolic link.
 *
 * @param directory what fstat says of the one that it is to follow
 * @return          a descriptor or -errno
 */
int share_open_or_make(int dirfd, const char *name, const struct stat *directory, mode_t bits);
