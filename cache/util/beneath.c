/* Opening by one call (openat2(2), Linux 5.6) where there is one. */
#include "cache/util/beneath.h"

#include "cache/util/file.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

/* As openat2, for kernels without it, and for paths that are too long for a call. */
static int open_by_names(int root_fd, const char *path, int flags)
{
    CLEANUP_CLOSE int at = -1;
    for (;;) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, length);
        name[length] = '\0';
        int here = at < 0 ? root_fd : at;
        int fd = openat(here, name,
                        path[length] ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
                                     : flags | O_NOFOLLOW);
        if (fd < 0)
            return -errno;
        if (!path[length])
            return fd;
        cleanup_close_fd(&at);
        at = fd;
        path += length + 1;
    }
}

static int open_once(int root_fd, const char *path, int flags, unsigned resolve)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | resolve};
    long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == ENAMETOOLONG))
        return open_by_names(root_fd, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

static int open_resolving(int root_fd, const char *path, int flags, unsigned resolve)
{
    for (unsigned waited_ms = 0;;) {
        int fd = open_once(root_fd, path, flags, resolve);
        if (fd >= 0 || !file_waits_for_lease(-fd, &waited_ms))
            return fd;
    }
}

int beneath_open(int root_fd, const char *path, int flags)
{
    return open_resolving(root_fd, path, flags, 0);
}

int beneath_open_same_mount(int root_fd, const char *path, int flags)
{
    return open_resolving(root_fd, path, flags, RESOLVE_NO_XDEV);
}
