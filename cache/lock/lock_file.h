/*
 * `.sys/pkgcache.lock`: the file itself, and the private lock on it, which only our processes know
 * and which the kernel gives back when its owner dies.
 */
#pragma once

#include "cache/util/error.h"

#include <sys/stat.h>

/**
 * Opens the lock file, and makes it if need be. Nothing is changed in it before lock_file_settle().
 *
 * @param sys_fd     the `.sys` directory
 * @param cache_path of the cache, for messages
 * @param ret_fd     receives a new open file description, close-on-exec; the caller closes it
 * @param ret_status what the file is
 * @param error      filled in on failure
 * @return           0; -EACCES, -EROFS, -ENOENT (no `.sys`) and whatever else open(2) says
 */
int lock_file_open(int sys_fd, const char *cache_path, int *ret_fd, struct stat *ret_status,
                   struct pkgcache_error *error);

/**
 * Makes sure that the file is the lock's, and no other file that has its name as well. Then its
 * mode follows that of `.sys` whatever the umask: whoever may write there may read and write it
 * (0600, 0660 or 0666). The private lock is held.
 *
 * @return 0; -EINVAL: it is another file as well; or another -errno
 */
int lock_file_settle(int sys_fd, int fd, const char *cache_path, struct pkgcache_error *error);

/**
 * Takes the private lock, if it is free. It belongs to the open file description.
 *
 * @return 0; -EAGAIN: somebody has it; -EOPNOTSUPP: there are no such locks here; or another -errno
 */
int lock_file_try(int fd);

/** Gives the private lock back, also when a child has inherited the descriptor. */
void lock_file_unlock(int fd);
