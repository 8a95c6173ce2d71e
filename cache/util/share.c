/* Modes and groups of what is made in a cache that several users share. */
#include "cache/util/share.h"

#include "cache/util/names.h"

#include "engine/compiler.h"

#include <fcntl.h>
#include <stdbool.h>

bool share_is_sticky(mode_t directory_mode)
{
    return directory_mode & S_ISVTX && directory_mode & (S_IWGRP | S_IWOTH);
}

mode_t share_file_bits(mode_t directory_mode)
{
    mode_t bits = 0;
    if (directory_mode & S_IWGRP)
        bits |= S_IRGRP | S_IWGRP;
    if (directory_mode & S_IWOTH)
        bits |= S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    return directory_mode & S_ISVTX ? bits & (S_IRGRP | S_IROTH) : bits;
}

mode_t share_directory_bits(mode_t directory_mode)
{
    mode_t bits = 0;
    if (directory_mode & S_IWGRP)
        bits |= S_IRWXG;
    if (directory_mode & S_IWOTH)
        bits |= S_IRWXG | S_IRWXO;
    return bits ? bits | (directory_mode & S_ISVTX) : 0;
}

void share_follow(int fd, const struct stat *directory, mode_t bits)
{
    struct stat status;
    if (bits == 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid())
        return;
    if (bits & S_IWGRP && status.st_gid != directory->st_gid &&
        fchown(fd, (uid_t)-1, directory->st_gid) < 0) {
        /* Not a member of that group: then it is not for us to give to. */
    }
    if (bits & ~status.st_mode)
        (void)!fchmod(fd, (status.st_mode & 07777) | bits);
}

int share_open_or_make(int dirfd, const char *name, const struct stat *directory, mode_t bits)
{
    int fd = names_open_directory(dirfd, name);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : -errno;
    bool made = mkdirat(dirfd, name, 0777) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    fd = names_open_directory(dirfd, name);
    if (fd >= 0 && made)
        share_follow(fd, directory, bits);
    return fd >= 0 ? fd : -errno;
}
