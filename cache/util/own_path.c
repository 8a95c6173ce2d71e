/*
 * Goes name by name, as the kernel would; it can be told to follow all links or none, but not
 * whose. Each step is relative to the directory before, so nobody can change what was looked at.
 */
#include "cache/util/own_path.h"

#include "engine/compiler.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40 }; /* as the kernel has it */

struct way {
    int fd;              /* how far we are */
    char left[PATH_MAX]; /* of the path */
    int links;
};

static int go_to_root(struct way *way)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    cleanup_close_fd(&way->fd);
    way->fd = fd;
    return 0;
}

/* Takes the first name of what is left. Returns whether there was one; too long ones are cut. */
static bool take_name(struct way *way, char ret[NAME_MAX + 2])
{
    const char *begin = way->left + strspn(way->left, "/");
    size_t length = strcspn(begin, "/");
    size_t taken = MIN(length, (size_t)NAME_MAX + 1);
    memcpy(ret, begin, taken);
    ret[taken] = '\0';
    memmove(way->left, begin + length, strlen(begin + length) + 1);
    return length > 0;
}

/* Puts the target of a link in front of what is left. */
static int follow(struct way *way, int link_fd)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(link_fd, "", target, sizeof(target));
    size_t left = strlen(way->left);
    if (length < 0)
        return -errno;
    if (++way->links > LINKS_MAX)
        return -ELOOP;
    if ((size_t)length + left + 2 > sizeof(way->left))
        return -ENAMETOOLONG;
    memmove(way->left + length + 1, way->left, left + 1);
    memcpy(way->left, target, (size_t)length);
    way->left[length] = '/';
    return *way->left == '/' ? go_to_root(way) : 0;
}

static int step(struct way *way, const char *name)
{
    struct stat status;
    CLEANUP_CLOSE int fd = openat(way->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISLNK(status.st_mode))
        return status.st_uid == 0 || status.st_uid == geteuid() ? follow(way, fd) : -ELOOP;
    cleanup_close_fd(&way->fd);
    way->fd = steal_fd(&fd);
    return 0;
}

/* Goes to the end of a path. Returns a descriptor that only says where that is (O_PATH), or -errno.
 */
static int find_end(const char *path)
{
    char name[NAME_MAX + 2];
    struct way way = {.fd = -1};
    size_t length = strlen(path);
    if (*path != '/' || length >= sizeof(way.left))
        return *path == '/' ? -ENAMETOOLONG : -EINVAL;
    memcpy(way.left, path, length + 1);
    int result = go_to_root(&way);
    while (result == 0 && take_name(&way, name))
        result = step(&way, name);
    if (result < 0)
        cleanup_close_fd(&way.fd);
    return result < 0 ? result : way.fd;
}

int own_path_open_directory(const char *path)
{
    CLEANUP_CLOSE int end = find_end(path);
    int fd = end < 0 ? -1 : openat(end, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return end < 0 ? end : fd < 0 ? -errno : fd;
}

int own_path_open(const char *path, int flags)
{
    char link[32];
    CLEANUP_CLOSE int end = find_end(path);
    if (end < 0)
        return end;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", end);
    int fd = open(link, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
