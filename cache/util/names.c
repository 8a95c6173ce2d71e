/* The names in a directory: getdents64(2) into a small buffer on the caller's stack. */
#include "cache/util/names.h"

#include "engine/compiler.h"

#include "engine/same_mount.h"

#include <string.h>

int names_open_file(int dirfd, const char *name, int flags, mode_t mode)
{
    return same_mount_open(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

int names_open_directory(int dirfd, const char *name)
{
    return names_open_file(dirfd, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
}

int names_stat(int dirfd, const char *name, struct stat *ret)
{
    return same_mount_stat(dirfd, name, ret);
}

int names_open(struct names *names, int dirfd)
{
    names_borrow(names, openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    names->borrowed = false;
    if (names->fd < 0)
        names->error = -errno;
    return names->error;
}

void names_borrow(struct names *names, int dirfd)
{
    names->fd = dirfd;
    names->borrowed = true;
    names->error = 0;
    names->at = names->end = 0;
}

const char *names_next(struct names *names)
{
    for (;;) {
        if (names->at >= names->end) {
            ssize_t bytes = getdents64(names->fd, names->buffer, sizeof(names->buffer));
            if (bytes < 0 && errno != ENOENT) /* ENOENT: the directory itself was removed */
                names->error = -errno;
            if (bytes <= 0)
                return NULL;
            names->at = 0;
            names->end = (size_t)bytes;
        }
        const struct dirent64 *entry =
            (const struct dirent64 *)(const void *)(names->buffer + names->at);
        names->at += entry->d_reclen;
        names->type = entry->d_type;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    }
}

void names_close(struct names *names)
{
    if (!names->borrowed)
        cleanup_close_fd(&names->fd);
}
