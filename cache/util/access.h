/*
 * What another user may do with a file, as the kernel would decide it: by modes and POSIX ACLs. For
 * those who cannot become that user to find out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum { ACCESS_SEARCH = 1, ACCESS_WRITE = 2, ACCESS_READ = 4 }; /* the bits of modes */

/** Another user; not root, who may do everything. */
struct access_user {
    uid_t uid;
    const gid_t *groups;
    size_t group_count;
};

/**
 * Whether modes, or an ACL, permit something.
 *
 * @param status whose file it is, and its modes
 * @param acl    the contents of system.posix_acl_access; what is not understood permits nothing
 * @param bytes  of `acl`; 0: there is none
 * @param wanted ACCESS_ bits, all of which are needed
 */
bool access_is_permitted(const struct access_user *user, const struct stat *status, const void *acl,
                         size_t bytes, unsigned wanted);

/** The same of an open file, which may have been opened with O_PATH. What cannot be found out is
 * not permitted. */
bool access_is_permitted_on(const struct access_user *user, int fd, unsigned wanted);
