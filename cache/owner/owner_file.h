/*
 * A file that says who owns what lies beside it: `.copying-INC` of a slot, `ID.owner` of a staging
 * directory. Its contents say which process, its mtime when that process last got on.
 */
#pragma once

#include "cache/owner/owner.h"

#include <sys/stat.h>

/** What an owner's file says of its owner. */
struct owner_file {
    enum owner_state state;
    bool overdue;       /* it was not touched for the grace time */
    struct owner owner; /* pid 0: nothing that could be read */
    struct stat status; /* of the file; 0: it could not even be looked at */
};

/**
 * Reads an owner's file, and finds out whether the owner still runs. Sleeps for 20 ms before it
 * says OWNER_GONE.
 *
 * @param fd      the file
 * @param self    this process
 * @param grace_s seconds
 */
void owner_file_read(int fd, const struct owner *self, unsigned grace_s, struct owner_file *ret);

/**
 * The same, by name. What cannot be opened (another user's, a symbolic link, a socket) has no
 * record, but it has its times.
 *
 * @return 0, or -errno: it is gone, or cannot be looked at
 */
int owner_file_find(int dirfd, const char *name, const struct owner *self, unsigned grace_s,
                    struct owner_file *ret);
