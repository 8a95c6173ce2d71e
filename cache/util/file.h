/*
 * Reading small files that others may be writing, or may have put there to do harm: never through a
 * symbolic link, never waiting on a fifo, never more than a given size. Making them, and asking
 * whether a name is there. Not for payloads.
 */
#pragma once

#include "cache/util/error.h"
#include "cache/util/text.h"

/**
 * Opens a file as openat(2) does, close-on-exec, and never waits for a fifo's other end; nor, in an
 * open directory, for the server of what is mounted on the name (EXDEV). But a file
 * that somebody has a lease on (F_SETLEASE in fcntl(2): Samba's oplocks, delegations of the NFS
 * server) is waited for: the kernel has asked for the lease, and takes it away after some time.
 *
 * @return a descriptor; -1: errno says why
 */
int file_open(int dirfd, const char *name, int flags);

/**
 * Waits a moment after an open with O_NONBLOCK that failed, if that was because of a lease.
 *
 * @param code      the errno value
 * @param waited_ms 0 at first
 * @return          whether to try again; false, too, when it has taken too long
 */
bool file_waits_for_lease(int code, unsigned *waited_ms);

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

/** Writes all bytes at an offset. @return 0 or -errno */
int file_write_at(int fd, const void *bytes, size_t length, uint64_t offset);

/** Writes all bytes where the descriptor is. @return 0 or -errno */
int file_write_all(int fd, const void *bytes, size_t length);

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

/** Opens a file without a name in a directory, for reading and writing: it is gone when it is
 * closed. @return a descriptor or -errno */
int file_open_unnamed(const char *directory);

/** Whether a name is there; what a symbolic link leads to does not count. It may be mounted on. */
bool file_exists(int dirfd, const char *name);

/**
 * Whether an open file is a regular one that has this name and no other. Where users can make hard
 * links to each other's files (fs.protected_hardlinks, proc(5)), a file that is to be written to
 * may be another name of something that is not theirs to change.
 */
bool file_has_only_name(int dirfd, const char *name, int fd);

/**
 * Asks whether a file that was written aside may be renamed to this path: it may take the place of
 * a regular file, and of nothing else. rename(2) would put it in place of a device or a fifo, too,
 * such as /dev/null, which root may do.
 *
 * @return 0; -EISDIR: a directory; -EINVAL: something else that is no regular file
 */
int file_check_place(const char *path, struct pkgcache_error *error);

/** Whether a name is a directory's own; a symbolic link to one is none, nor is what is mounted. */
bool file_is_directory(int dirfd, const char *name);
