/*
 * Listening. The lock says who is the daemon, not the socket file: that may be stale, or stolen. So
 * whoever has the lock may replace it, and does so by rename(2): there is no moment without it.
 */
#include "cache/service/listener.h"

#include "cache/util/file.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOCK_NAME "daemon.lock"

enum {
    BACKLOG = 512,
    CONNECT_WAIT_S = 2,
    FIRST_PASSED_FD = 3, /* SD_LISTEN_FDS_START */
};

char *listener_default_path(const char *cache_path)
{
    char *path;
    return asprintf(&path, "%s/.sys/daemon.sock", cache_path) < 0 ? NULL : path;
}

/* Opens the directory that a path's last name is in. Returns a descriptor or -errno. */
static int open_parent(const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof(parent))
        return -ENAMETOOLONG;
    *ret_name = slash ? slash + 1 : path;
    snprintf(parent, sizeof(parent), "%.*s", (int)length, path);
    int fd = open(!slash ? "." : length ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* An address of at most 108 bytes for a path of any length. */
static int make_address(int parent_fd, const char *name, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length =
        snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", parent_fd, name);
    return length < (int)sizeof(ret->sun_path) ? 0 : -ENAMETOOLONG;
}

int listener_connect(const char *path)
{
    const char *name;
    struct sockaddr_un address;
    CLEANUP_CLOSE int parent_fd = open_parent(path, &name);
    int result = parent_fd < 0 ? parent_fd : make_address(parent_fd, name, &address);
    if (result < 0)
        return result;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = CONNECT_WAIT_S}; /* where the backlog is full */
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return steal_fd(&fd);
}

int listener_lock(struct pkgcache *cache, struct listener *listener,
                  struct pkgcache_error *ret_error)
{
    char text[OWNER_TEXT_MAX];
    struct owner owner;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CLEANUP_CLOSE int fd = openat(cache->sys_fd, LOCK_NAME,
                                  O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(ret_error, errno, "daemon: cannot open %s/.sys/" LOCK_NAME ": %s",
                         cache->path, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        ssize_t length = pread(fd, text, sizeof(text), 0);
        if (length > 0 && owner_parse(text, (size_t)length, &owner) == 0)
            return error_set(ret_error, EBUSY,
                             "daemon: process %d (%s on host %s) already serves the cache %s",
                             owner.pid, owner.command, owner.host, cache->path);
        return error_set(ret_error, EBUSY, "daemon: another daemon already serves the cache %s",
                         cache->path);
    }
    size_t length = owner_format(&cache->self, text);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, length, 0) != (ssize_t)length)
        return error_set(ret_error, errno, "daemon: cannot write %s/.sys/" LOCK_NAME ": %s",
                         cache->path, strerror(errno));
    listener->lock_fd = steal_fd(&fd);
    return 0;
}

/* The socket that systemd made: LISTEN_PID and LISTEN_FDS, sd_listen_fds(3). -1: none. */
static int take_passed(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    int listening = 0;
    socklen_t length = sizeof(listening);
    bool ours = pid && count && strtol(pid, NULL, 10) == getpid() && strtol(count, NULL, 10) >= 1;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours || getsockopt(FIRST_PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 ||
        !listening)
        return -1;
    fcntl(FIRST_PASSED_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_PASSED_FD, F_SETFL, fcntl(FIRST_PASSED_FD, F_GETFL) | O_NONBLOCK);
    return FIRST_PASSED_FD;
}

/* Where a socket that was passed is, for those who look for it in the cache. */
static void link_passed(int fd, const char *path)
{
    const char *name;
    char aside[64];
    struct stat status;
    struct sockaddr_un address = {0};
    socklen_t length = sizeof(address) - 1;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 || address.sun_path[0] != '/' ||
        strcmp(address.sun_path, path) == 0 ||
        (lstat(path, &status) == 0 && S_ISREG(status.st_mode)))
        return;
    CLEANUP_CLOSE int parent_fd = open_parent(path, &name);
    snprintf(aside, sizeof(aside), ".daemon-%d.sock", getpid());
    if (parent_fd < 0 || symlinkat(address.sun_path, parent_fd, aside) < 0)
        return;
    if (renameat(parent_fd, aside, parent_fd, name) < 0)
        unlinkat(parent_fd, aside, 0);
}

/* Makes a socket aside, and gives it the name. Returns a descriptor that listens, or -errno. */
static int make_socket(struct listener *listener)
{
    const char *name;
    char aside[64];
    struct sockaddr_un address;
    struct stat status;
    CLEANUP_CLOSE int parent_fd = open_parent(listener->path, &name);
    if (parent_fd < 0)
        return parent_fd;
    snprintf(aside, sizeof(aside), ".daemon-%d.sock", getpid());
    unlinkat(parent_fd, aside, 0);
    int result = make_address(parent_fd, aside, &address);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (result < 0 || fd < 0)
        return result < 0 ? result : -errno;
    /* the mode comes later: a umask would be that of all threads, and who may ask is looked at */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (fstatat(parent_fd, aside, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        (listener->gid != (gid_t)-1 &&
         fchownat(parent_fd, aside, (uid_t)-1, listener->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        fchmodat(parent_fd, aside, listener->mode, 0) < 0 || listen(fd, BACKLOG) < 0 ||
        renameat(parent_fd, aside, parent_fd, name) < 0) {
        result = -errno;
        unlinkat(parent_fd, aside, 0);
        return result;
    }
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return steal_fd(&fd);
}

/* What has the name, if it is no socket that nobody listens on. Returns 0 or -errno. */
static int refuse_occupied(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode) && !S_ISLNK(status.st_mode))
        return -EEXIST;
    CLEANUP_CLOSE int fd = listener_connect(path);
    return fd >= 0 ? -EADDRINUSE : 0;
}

int listener_open(struct listener *listener, const char *path, const struct peer_rule *rule,
                  struct pkgcache_error *ret_error)
{
    listener->mode = rule->everybody ? 0666 : rule->group ? 0660 : 0600;
    listener->gid = rule->group ? rule->gid : (gid_t)-1;
    listener->fd = take_passed();
    if (listener->fd >= 0) {
        link_passed(listener->fd, path);
        return 0;
    }
    listener->path = strdup(path);
    int result = listener->path ? refuse_occupied(path) : -ENOMEM;
    if (result == 0)
        result = listener->fd = make_socket(listener);
    if (result == -EADDRINUSE)
        return error_set(ret_error, EADDRINUSE, "socket %s: another daemon listens there", path);
    if (result == -EEXIST)
        return error_set(ret_error, EEXIST, "socket %s: this file is not a socket: move it away",
                         path);
    if (result < 0)
        return error_set(ret_error, -result, "socket %s: %s", path, strerror(-result));
    return 0;
}

static bool is_ours(const struct listener *listener)
{
    struct stat status;
    return lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
           status.st_ino == listener->inode;
}

bool listener_keep(struct listener *listener)
{
    if (!listener->path || is_ours(listener))
        return false;
    struct listener made = *listener;
    CLEANUP_CLOSE int fd = make_socket(&made);
    if (fd < 0 || dup3(fd, listener->fd, O_CLOEXEC) < 0)
        return false;
    *listener = made;
    return true;
}

void listener_close(struct listener *listener)
{
    if (listener->path && listener->fd >= 0 && is_ours(listener))
        unlink(listener->path);
    cleanup_close_fd(&listener->fd);
    cleanup_close_fd(&listener->lock_fd);
    free(listener->path);
    *listener = (struct listener){.fd = -1, .lock_fd = -1};
}
