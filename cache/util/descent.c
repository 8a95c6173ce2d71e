/*
 * A descent reads a directory to its end before it goes into one of those in it. The way back is
 * "..", and whoever may write in the tree can have moved the directory elsewhere in between: so the
 * directory above is compared with the one that the descent came from.
 *
 * Memory: for each directory on the way down 32 bytes, and the names of those beside it that are
 * not done.
 */
#include "cache/util/descent.h"

#include "cache/util/names.h"
#include "cache/util/text.h"

#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

static const int open_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/* A directory on the way down. */
struct level {
    dev_t device;
    ino_t inode;
    size_t waiting; /* where the names of the directories in it begin, in `waiting` */
};

struct descent {
    void (*visit)(void *context, const struct stat *status);
    void *context;
    int fd; /* of the last level */
    struct level *levels;
    size_t depth;
    size_t capacity;
    struct text waiting; /* names of directories that are still to be visited, a NUL after each */
    bool partial;
};

/* Visits what is in the directory, and notes the directories. */
static int read_directory(struct descent *descent)
{
    struct names names;
    struct stat status;
    names_borrow(&names, descent->fd);
    for (const char *name; (name = names_next(&names));) {
        bool known = names.type == DT_DIR;
        if (!known && names_stat(descent->fd, name, &status) < 0)
            descent->partial |= errno != ENOENT;
        else if (known || S_ISDIR(status.st_mode))
            text_append(&descent->waiting, name, strlen(name) + 1);
        else
            descent->visit(descent->context, &status);
    }
    descent->partial |= names.error < 0;
    names_close(&names);
    return descent->waiting.error;
}

static int make_room(struct descent *descent)
{
    if (descent->depth < descent->capacity)
        return 0;
    size_t capacity = MAX(2 * descent->capacity, (size_t)32);
    void *levels = realloc(descent->levels, capacity * sizeof(*descent->levels));
    if (!levels)
        return -ENOMEM;
    descent->levels = levels;
    descent->capacity = capacity;
    return 0;
}

/* Goes into a directory that is open, which it takes over. */
static int enter(struct descent *descent, int directory_fd)
{
    CLEANUP_CLOSE int fd = directory_fd;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (descent->depth > 0 && status.st_dev != descent->levels[0].device)
        return 0;
    int result = make_room(descent);
    if (result < 0)
        return result;
    descent->levels[descent->depth++] =
        (struct level){status.st_dev, status.st_ino, descent->waiting.length};
    cleanup_close_fd(&descent->fd);
    descent->fd = steal_fd(&fd);
    return read_directory(descent);
}

/* Goes into the last of the directories that wait. */
static int go_down(struct descent *descent)
{
    struct text *waiting = &descent->waiting;
    assert(waiting->length > 0 && waiting->bytes[waiting->length - 1] == '\0');
    const char *before = memrchr(waiting->bytes, '\0', waiting->length - 1);
    const char *name = before ? before + 1 : waiting->bytes;
    int fd = names_open_directory(descent->fd, name);
    descent->partial |= fd < 0 && errno != ENOENT && errno != EXDEV;
    waiting->length = (size_t)(name - waiting->bytes);
    return fd < 0 ? 0 : enter(descent, fd);
}

/* Goes back to the directory above. Returns false: it is another one by now. */
static bool go_up(struct descent *descent)
{
    struct stat status;
    assert(descent->depth > 1);
    const struct level *above = &descent->levels[--descent->depth - 1];
    CLEANUP_CLOSE int fd = openat(descent->fd, "..", open_flags);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_dev != above->device ||
        status.st_ino != above->inode)
        return false;
    cleanup_close_fd(&descent->fd);
    descent->fd = steal_fd(&fd);
    return true;
}

static int descend(struct descent *descent)
{
    int result = 0;
    while (result == 0) {
        assert(descent->levels && descent->depth > 0);
        if (descent->waiting.length > descent->levels[descent->depth - 1].waiting)
            result = go_down(descent);
        else if (descent->depth == 1)
            return 0;
        else if (!go_up(descent)) {
            descent->partial = true;
            return 0;
        }
    }
    return result;
}

int descent_visit(int dirfd, const char *name,
                  void (*visit)(void *context, const struct stat *status), void *context)
{
    struct descent descent = {.visit = visit, .context = context, .fd = -1};
    int fd = names_open_directory(dirfd, name);
    int result = fd < 0 ? -errno : enter(&descent, fd);
    if (result == 0)
        result = descend(&descent);
    cleanup_close_fd(&descent.fd);
    free(descent.levels);
    text_free(&descent.waiting);
    return result < 0 ? result : descent.partial;
}
