/*
 * Reading small files that others may be writing, or may have put there to do harm: never through a
 * symbolic link, never waiting on a fifo, never more than a given size. Making them, and asking
 * whether a name is there. Not for payloads.
 */
#pragma once

#include "cache/util/error.h"
#include "cache/util/text.h"

/**
 * Opens a regular file for reading.
 *
 * @param dirfd  a directory, or AT_FDCWD
 * @param name   relative to dirfd
 * @param ret_fd receives the descriptor (close-on-exec); the caller closes it
 * @return       0; -EBADMSG: a link, directory, fifo, socket or device; else what open says
 *               (-ENOENT, -EACCES, ...). The message leaves it to the caller to name the file
 */
int file_open_regular(int dirfd, const char *name, int *ret_fd, struct pkgcache_error *error);

/**
 * Appends what can be read from a descriptor until its end.
 *
 * @param max_bytes more than this is refused
 * @return          0; -EBADMSG: larger than max_bytes; -ENOMEM; else what read says
 */
int file_read(int fd, size_t max_bytes, struct text *text, struct pkgcache_error *error);

/**
 * Writes a text where the descriptor is.
 *
 * @return 0; -ENOSPC, also when only a part went in; or -errno
 */
int file_write(int fd, const char *text);

/**
 * Makes a file where there was none, shared as its directory is (share.h). It gets its name when
 * the text is inside: whoever is killed in between leaves nothing, and nobody ever reads half of it
 * (open(2), O_TMPFILE; file systems that cannot do that make it in place).
 *
 * @param ret_fd receives the descriptor, open for reading and writing; the caller closes it
 * @return       0; -EEXIST: something has that name; -ENOSPC; or another -errno
 */
int file_make(int dirfd, const char *name, const char *text, int *ret_fd);

/** The same for bytes that are no text. */
int file_make_bytes(int dirfd, const char *name, const void *bytes, size_t length, int *ret_fd);

/** Whether a name is there; what a symbolic link leads to does not count. */
bool file_exists(int dirfd, const char *name);

/** Whether a name is a directory's own; a symbolic link to one is none. */
bool file_is_directory(int dirfd, const char *name);
