/*
 * Removing trees, one after the other. Goes down and up by ".." with one descriptor open, so depth
 * costs memory for a name and no descriptor.
 */
#include "engine/compiler.h"
#include "engine/copyengine.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { BUFFER_BYTES = 32 << 10 };

/* A directory on the way down. */
struct level {
    struct level *above;
    char name[];
};

struct removal {
    int fd; /* the directory that is being emptied */
    struct level *level;
    char *buffer;
    bool (*cancelled)(void *context);
    void *context;
    struct copyengine_error *error;
};

static int fail(const struct removal *removal, const char *operation, const char *name, int code)
{
    struct copyengine_error *error = removal->error;
    if (error) {
        *error = (struct copyengine_error){.code = code};
        snprintf(error->operation, sizeof(error->operation), "%s", operation);
        snprintf(error->path, sizeof(error->path), "%s", name);
    }
    return -code;
}

/* Opens a directory, made readable and writable if it is not. */
static int open_directory(int dirfd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dirfd, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, S_IRWXU, 0) == 0)
        fd = openat(dirfd, name, flags);
    return fd;
}

static int descend(struct removal *removal, const char *name)
{
    int fd = open_directory(removal->fd, name);
    if (fd < 0)
        return fail(removal, "open", name, errno);
    size_t bytes = strlen(name) + 1;
    struct level *level = malloc(sizeof(*level) + bytes);
    if (!level) {
        close(fd);
        return fail(removal, "remove", name, ENOMEM);
    }
    level->above = removal->level;
    memcpy(level->name, name, bytes);
    removal->level = level;
    close(removal->fd);
    removal->fd = fd;
    return 0;
}

static int ascend(struct removal *removal)
{
    CLEANUP_FREE struct level *level = removal->level;
    int fd = openat(removal->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(removal, "open", level->name, errno);
    close(removal->fd);
    removal->fd = fd;
    removal->level = level->above;
    if (unlinkat(fd, level->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fail(removal, "rmdir", level->name, errno);
    return 0;
}

static int unlink_entry(struct removal *removal, const char *name, int flags)
{
    int result = unlinkat(removal->fd, name, flags);
    if (result < 0 && errno == EACCES && fchmod(removal->fd, S_IRWXU) == 0)
        result = unlinkat(removal->fd, name, flags);
    return result < 0 && errno != ENOENT ? -errno : 0;
}

/* Removes what can be removed at once. *ret_name: a directory to go down to, inside the buffer. */
static int remove_piece(struct removal *removal, ssize_t bytes, const char **ret_name)
{
    for (ssize_t at = 0; at < bytes;) {
        const struct dirent64 *entry =
            (const struct dirent64 *)(const void *)(removal->buffer + at);
        const char *name = entry->d_name;
        at += entry->d_reclen;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        int result = unlink_entry(removal, name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
        if (result == -EISDIR) /* a file system that does not tell types */
            result = unlink_entry(removal, name, AT_REMOVEDIR);
        if (result == -ENOTEMPTY || result == -EEXIST) {
            *ret_name = name;
            return 0;
        }
        if (result < 0)
            return fail(removal, "remove", name, -result);
    }
    return 0;
}

/* Empties the directory that `level` is NULL for, and all below it. */
static int empty(struct removal *removal)
{
    for (;;) {
        if (removal->cancelled && removal->cancelled(removal->context))
            return fail(removal, "remove", removal->level ? removal->level->name : ".", ECANCELED);
        ssize_t bytes = getdents64(removal->fd, removal->buffer, BUFFER_BYTES);
        if (bytes < 0)
            return fail(removal, "read", removal->level ? removal->level->name : ".", errno);
        if (bytes == 0 && !removal->level)
            return 0;
        const char *name = NULL;
        int result = bytes == 0 ? ascend(removal) : remove_piece(removal, bytes, &name);
        if (result == 0 && name)
            result = descend(removal, name);
        if (result < 0)
            return result;
    }
}

static void free_levels(struct level *level)
{
    while (level) {
        struct level *above = level->above;
        free(level);
        level = above;
    }
}

int copyengine_remove_tree(int dirfd, const char *path, bool (*cancelled)(void *context),
                           void *context, struct copyengine_error *ret_error)
{
    struct removal removal = {.cancelled = cancelled, .context = context, .error = ret_error};
    if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM) /* POSIX says EPERM for a directory, Linux EISDIR */
        return fail(&removal, "remove", path, errno);
    if (unlinkat(dirfd, path, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return fail(&removal, "remove", path, errno);
    removal.buffer = malloc(BUFFER_BYTES);
    removal.fd = open_directory(dirfd, path);
    int result = !removal.buffer  ? fail(&removal, "remove", path, ENOMEM)
                 : removal.fd < 0 ? fail(&removal, "open", path, errno)
                                  : empty(&removal);
    cleanup_close_fd(&removal.fd);
    free_levels(removal.level);
    free(removal.buffer);
    if (result == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
        result = fail(&removal, "rmdir", path, errno);
    return result;
}
