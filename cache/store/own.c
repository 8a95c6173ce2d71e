/* Who can have put something into a cache: owners and modes, up to the cache's own directory. */
#include "cache/store/own.h"

#include "engine/compiler.h"

#include <fcntl.h>

static bool is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

bool own_is_ours(const struct stat *status)
{
    return is_trusted(status->st_uid) && !(status->st_mode & (S_IWGRP | S_IWOTH));
}

static bool is_closed_or_sticky(const struct stat *status)
{
    return !(status->st_mode & (S_IWGRP | S_IWOTH)) || status->st_mode & S_ISVTX;
}

static bool is_directory_safe(const struct stat *status)
{
    return is_trusted(status->st_uid) && is_closed_or_sticky(status);
}

/* Whether a hash directory and all above it, up to the cache's, are as they should be. */
static bool is_whole_way(const struct pkgcache *cache, int hash_fd,
                         bool (*is_good)(const struct stat *status))
{
    static const char *const way[] = {".", "..", "../..",
                                      "../../.."}; /* VERSION, NAME, the cache */
    struct stat status = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(way); i++)
        if (fstatat(hash_fd, way[i], &status, AT_SYMLINK_NOFOLLOW) < 0 || !is_good(&status))
            return false;
    return status.st_dev == cache->root.st_dev && status.st_ino == cache->root.st_ino;
}

bool own_is_hash_directory_safe(const struct pkgcache *cache, int hash_fd)
{
    return is_whole_way(cache, hash_fd, is_directory_safe);
}

bool own_was_made_here(const struct pkgcache *cache, int hash_fd)
{
    return is_whole_way(cache, hash_fd, is_closed_or_sticky);
}
