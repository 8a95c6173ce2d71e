/* Going to published manifests, and judging who can have written them. */
#include "cache/published/published_way.h"

#include "cache/pack/pack.h"
#include "cache/published/published_format.h"
#include "cache/util/file.h"
#include "engine/compiler.h"

#include <fcntl.h>

/* The part of a name's path up to its n-th slash, or all of it. */
static int cut_length(const char *name, size_t slashes)
{
    const char *at = name;
    for (size_t i = 0; i < slashes && at; i++)
        at = strchr(at + (i > 0), '/');
    return at ? (int)(at - name) : (int)strlen(name);
}

char *published_way_name(const struct pkgcache_handle *handle)
{
    CLEANUP_FREE char *member = pack_member_prefix(handle);
    char *name;
    if (!member || asprintf(&name, PUBLISHED_DIRECTORY "/%s", member) < 0)
        return NULL;
    return name;
}

char *published_way_path(const struct pkgcache_handle *handle)
{
    CLEANUP_FREE char *name = published_way_name(handle);
    char *path;
    if (!name || asprintf(&path, "%s/%s", handle->location, name) < 0)
        return NULL;
    return path;
}

static int fail(const char *path, int code, struct pkgcache_error *error)
{
    bool is_link = code == ELOOP || code == ENOTDIR;
    if (is_link && access(path, F_OK) < 0 && errno == ENOENT)
        code = ENOENT; /* there is none behind the link either, so nothing is to be said */
    if (code == ENOENT)
        return error_set(error, ENOENT, "%s: there is no such manifest", path);
    if (is_link)
        return error_set(error, EPERM,
                         "%s: there is a symbolic link, or something else that is no directory, on "
                         "the way to it",
                         path);
    return error_set(error, code, "%s: cannot be opened: %s", path, strerror(code));
}

/* Opens a directory, and not what a link leads to. */
static int open_directory(int dirfd, const char *name, struct stat *ret)
{
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret) < 0)
        return -errno;
    return steal_fd(&fd);
}

static int open_manifest(int dirfd, const char *name, const char *path, struct published_way *way,
                         struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = -1;
    int result = file_open_regular(dirfd, name, &fd, NULL);
    if (result == -EBADMSG)
        return error_set(error, EPERM, "%s: it is no regular file", path);
    if (result < 0)
        return fail(path, -result, error);
    if (fstat(fd, &way->status) < 0)
        return fail(path, errno, error);
    way->fd = steal_fd(&fd);
    return 0;
}

int published_way_go(const struct pkgcache_handle *handle, const char *path,
                     struct published_way *ret, struct pkgcache_error *error)
{
    *ret = (struct published_way)PUBLISHED_WAY_INIT;
    CLEANUP_FREE char *name = published_way_name(handle);
    if (!name)
        return error_set(error, ENOMEM, "out of memory");
    CLEANUP_CLOSE int at = open_directory(AT_FDCWD, handle->location, &ret->directories[0]);
    if (at < 0)
        return fail(path, -at, error);
    char *part = name;
    for (size_t i = 1; i < PUBLISHED_WAY_DIRECTORIES; i++) {
        char *slash = strchr(part, '/');
        *slash = '\0';
        int fd = open_directory(at, part, &ret->directories[i]);
        if (fd < 0)
            return fail(path, -fd, error);
        cleanup_close_fd(&at);
        at = fd;
        part = slash + 1;
    }
    return open_manifest(at, part, path, ret, error);
}

/* Says what is wrong with one of them. */
static int judge(const struct stat *status, uid_t owner, const char *path, int length,
                 struct pkgcache_error *error)
{
    if (status->st_uid != 0 && status->st_uid != owner)
        return error_set(error, EPERM,
                         "%.*s belongs to user %ju, and the payload to user %ju: it has to belong "
                         "to that one or to root",
                         length, path, (uintmax_t)status->st_uid, (uintmax_t)owner);
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return error_set(error, EPERM,
                         "%.*s: others than its owner may write to it (its mode is %04o): chmod "
                         "go-w it, and its ACL, if it has one",
                         length, path, (unsigned)status->st_mode & 07777);
    return 0;
}

int published_way_judge(const struct published_way *way, const struct pkgcache_handle *handle,
                        uid_t owner, struct pkgcache_error *error)
{
    CLEANUP_FREE char *path = published_way_path(handle);
    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    size_t base = strlen(handle->location);
    int result = 0;
    for (size_t i = 0; i < PUBLISHED_WAY_DIRECTORIES && result == 0; i++) {
        int length = (int)base + (i > 0 ? 1 + cut_length(path + base + 1, i) : 0);
        result = judge(&way->directories[i], owner, path, length, error);
    }
    return result == 0 ? judge(&way->status, owner, path, (int)strlen(path), error) : result;
}
