/*
 * Listening. The lock says who is the daemon, not the socket file: that may be stale, or stolen. So
 * whoever has the lock may replace it, and does so by rename(2): there is no moment without it.
 *
 * Others may write to the directory of the socket. A socket gets its owner and mode by its name, as
 * there is no call that takes its descriptor; so it is made in a directory of its own, which only
 * this user may enter, and moved out when it is what it is to be.
 */
#include "cache/service/listener.h"

#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/record.h"

#include "engine/same_mount.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOCK_NAME   "daemon.lock"
#define SOCKET_NAME "daemon.sock"
#define SYS         "/.sys"

enum {
    BACKLOG = 512,
    CONNECT_WAIT_S = 2,
};

char *listener_default_path(const char *cache_path)
{
    char *path;
    return asprintf(&path, "%s" SYS "/" SOCKET_NAME, cache_path) < 0 ? NULL : path;
}

/* Opens a cache's .sys, if nothing is mounted on it: who may write there may mount there. */
static int open_private(int cache_fd)
{
    int fd = names_open_file(cache_fd, &SYS[1], O_PATH | O_DIRECTORY, 0);
    return fd < 0 ? -errno : fd;
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
    bool is_private =
        length >= sizeof(SYS) && memcmp(slash + 1 - sizeof(SYS), SYS, sizeof(SYS) - 1) == 0;
    if (is_private)
        length -= sizeof(SYS) - 1;
    snprintf(parent, sizeof(parent), "%.*s", (int)length, path);
    const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    CLEANUP_CLOSE int fd = open(!slash ? "." : length ? parent : "/", flags);
    if (fd < 0)
        return -errno;
    return is_private ? open_private(fd) : steal_fd(&fd);
}

/* The same for the socket that a daemon makes. */
static int open_own_parent(const struct listener *listener, const char *path, const char **ret_name)
{
    if (listener->sys_fd < 0)
        return open_parent(path, ret_name);
    *ret_name = SOCKET_NAME;
    int fd = fcntl(listener->sys_fd, F_DUPFD_CLOEXEC, 0);
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

static int connect_at(int parent_fd, const char *name)
{
    struct sockaddr_un address;
    struct statx status;
    int result = make_address(parent_fd, name, &address);
    if (result < 0)
        return result;
    /* a socket that is mounted there is an administrator's, for a container */
    if (same_mount_statx(parent_fd, name, STATX_TYPE, &status) < 0 && errno == EXDEV &&
        !S_ISSOCK(status.stx_mode))
        return -EXDEV;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = CONNECT_WAIT_S}; /* where the backlog is full */
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return steal_fd(&fd);
}

int listener_connect(const char *path)
{
    const char *name;
    CLEANUP_CLOSE int parent_fd = open_parent(path, &name);
    return parent_fd < 0 ? parent_fd : connect_at(parent_fd, name);
}

/* Opens the lock's file. O_CREAT comes second: fs.protected_regular(5) may refuse another user's.
 */
static int open_lock(int sys_fd)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = names_open_file(sys_fd, LOCK_NAME, flags, 0);
    if (fd < 0 && errno == ENOENT)
        fd = names_open_file(sys_fd, LOCK_NAME, flags | O_CREAT | O_EXCL, 0644);
    return fd < 0 && errno == EEXIST ? names_open_file(sys_fd, LOCK_NAME, flags, 0) : fd;
}

/* Whether a file is a lock of ours to write to, and nobody's that has its name. */
static bool is_lock(int sys_fd, int fd)
{
    char text[sizeof(RECORD_FIRST_LINE)];
    ssize_t length = pread(fd, text, sizeof(text), 0);
    return length >= 0 && record_may_be(text, (size_t)length) &&
           file_has_only_name(sys_fd, LOCK_NAME, fd);
}

int listener_lock(struct pkgcache *cache, struct listener *listener,
                  struct pkgcache_error *ret_error)
{
    char text[OWNER_TEXT_MAX];
    struct owner owner;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CLEANUP_CLOSE int fd = open_lock(cache->sys_fd);
    if (fd < 0)
        return error_set(ret_error, errno, "daemon: cannot open %s/.sys/" LOCK_NAME ": %s",
                         cache->path, strerror(errno));
    if (!is_lock(cache->sys_fd, fd))
        return error_set(ret_error, EINVAL,
                         "daemon: %s/.sys/" LOCK_NAME
                         " is no daemon's lock, or has another name as "
                         "well, so it is not written to: delete it",
                         cache->path);
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

bool listener_is_passed(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    return pid && count && strtol(pid, NULL, 10) == getpid() && strtol(count, NULL, 10) >= 1;
}

/* The socket that systemd made. -1: none. */
static int take_passed(void)
{
    const int fd = LISTENER_PASSED_FD;
    int listening = 0;
    socklen_t length = sizeof(listening);
    bool passed = listener_is_passed();
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!passed || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 || !listening)
        return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* Where a socket that was passed is, for those who look for it in the cache. */
static void link_passed(const struct listener *listener, const char *path)
{
    const char *name;
    char aside[64];
    struct stat status;
    struct sockaddr_un address = {0};
    socklen_t length = sizeof(address) - 1;
    CLEANUP_CLOSE int parent_fd = open_own_parent(listener, path, &name);
    if (parent_fd < 0 || getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0 ||
        address.sun_path[0] != '/' || strcmp(address.sun_path, path) == 0 ||
        (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode)))
        return;
    cache_unique_name(".daemon", aside, sizeof(aside));
    if (symlinkat(address.sun_path, parent_fd, aside) < 0)
        return;
    if (renameat(parent_fd, aside, parent_fd, name) < 0)
        unlinkat(parent_fd, aside, 0);
}

/* Makes a directory that nobody else may enter. Returns a descriptor or -errno. */
static int make_private_directory(int parent_fd, const char *name)
{
    struct stat status;
    if (mkdirat(parent_fd, name, S_IRWXU) < 0)
        return -errno;
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid() || status.st_mode & (S_IRWXG | S_IRWXO))
        return -EPERM; /* somebody has exchanged it */
    return steal_fd(&fd);
}

/* Binds a socket to a name in a directory that is private, and gives it owner and mode. */
static int bind_private(struct listener *listener, int private_fd, const char *name, int fd)
{
    struct sockaddr_un address;
    struct stat status;
    int result = make_address(private_fd, name, &address);
    if (result < 0)
        return result;
    /* the mode comes later: a umask would be that of all threads, and who may ask is looked at */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        fstatat(private_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        (listener->gid != (gid_t)-1 &&
         fchownat(private_fd, name, (uid_t)-1, listener->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        fchmodat(private_fd, name, listener->mode, 0) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return 0;
}

/* Makes a socket aside, and gives it the name. Returns a descriptor that listens, or -errno. */
static int make_socket(struct listener *listener)
{
    static const char inside[] = "socket";
    const char *name;
    char aside[64];
    CLEANUP_CLOSE int parent_fd = open_own_parent(listener, listener->path, &name);
    if (parent_fd < 0)
        return parent_fd;
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    cache_unique_name(".daemon", aside, sizeof(aside));
    CLEANUP_CLOSE int private_fd = make_private_directory(parent_fd, aside);
    if (private_fd < 0) {
        unlinkat(parent_fd, aside, AT_REMOVEDIR);
        return private_fd;
    }
    int result = bind_private(listener, private_fd, inside, fd);
    if (result == 0 && renameat(private_fd, inside, parent_fd, name) < 0)
        result = -errno;
    if (result < 0)
        unlinkat(private_fd, inside, 0);
    unlinkat(parent_fd, aside, AT_REMOVEDIR);
    return result < 0 ? result : steal_fd(&fd);
}

/* What has the name, if it is no socket that nobody listens on. Returns 0 or -errno. */
static int refuse_occupied(const struct listener *listener)
{
    const char *name;
    struct stat status;
    CLEANUP_CLOSE int parent_fd = open_own_parent(listener, listener->path, &name);
    if (parent_fd < 0)
        return parent_fd;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(status.st_mode) && !S_ISLNK(status.st_mode))
        return -EEXIST;
    CLEANUP_CLOSE int fd = connect_at(parent_fd, name);
    return fd >= 0 ? -EADDRINUSE : 0;
}

int listener_open(struct listener *listener, const struct pkgcache *cache, const char *path,
                  const struct peer_rule *rule, struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *default_path = listener_default_path(cache->path);
    listener->sys_fd = default_path && strcmp(path, default_path) == 0 ? cache->sys_fd : -1;
    listener->mode = rule->everybody ? 0666 : rule->group ? 0660 : 0600;
    listener->gid = rule->group ? rule->gid : (gid_t)-1;
    listener->fd = take_passed();
    if (listener->fd >= 0) {
        link_passed(listener, path);
        return 0;
    }
    listener->path = strdup(path);
    int result = listener->path ? refuse_occupied(listener) : -ENOMEM;
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
    const char *name;
    struct stat status;
    CLEANUP_CLOSE int parent_fd = open_own_parent(listener, listener->path, &name);
    return parent_fd >= 0 && fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_dev == listener->device && status.st_ino == listener->inode;
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
    const char *name;
    CLEANUP_CLOSE int parent_fd =
        listener->path ? open_own_parent(listener, listener->path, &name) : -1;
    if (parent_fd >= 0 && listener->fd >= 0 && is_ours(listener))
        unlinkat(parent_fd, name, 0);
    cleanup_close_fd(&listener->fd);
    cleanup_close_fd(&listener->lock_fd);
    free(listener->path);
    *listener = (struct listener){.fd = -1, .lock_fd = -1, .sys_fd = -1};
}
