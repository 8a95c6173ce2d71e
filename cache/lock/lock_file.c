/*
 * Opening the lock file, and the open-file-description lock on it. SETLKW has no time-out, so the
 * lock is only ever tried; lock.c does the waiting.
 */
#include "cache/lock/lock_file.h"

#include "cache/lock/rezlock.h"
#include "cache/util/names.h"
#include "cache/util/record.h"
#include "engine/clock.h"
#include "engine/same_mount.h"

#include <fcntl.h>
#include <sys/stat.h>

enum {
    OPEN_ATTEMPTS_MAX = 50,
    OPEN_PAUSE_NS = 2 * 1000000,
    JUST_MADE_S = 1 /* the age up to which a file may not have its mode yet */
};

static mode_t wanted_mode(const struct stat *sys_status)
{
    mode_t mode = S_IRUSR | S_IWUSR;
    if (sys_status->st_mode & S_IWGRP)
        mode |= S_IRGRP | S_IWGRP;
    if (sys_status->st_mode & S_IWOTH)
        mode |= S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
    return mode;
}

/* Its owner repairs what a kill between open and fchmod, or a chmod of .sys, has left. */
static void follow_directory(int fd, const struct stat *status, const struct stat *sys_status)
{
    mode_t mode = wanted_mode(sys_status);
    if (status->st_uid != geteuid())
        return;
    if ((mode & S_IRGRP) && status->st_gid != sys_status->st_gid &&
        fchown(fd, (uid_t)-1, sys_status->st_gid) < 0) {
        /* Not a member of that group: then it is not for us to give to. */
    }
    if ((status->st_mode & mode) != mode)
        (void)!fchmod(fd, (status->st_mode & 07777) | mode);
}

/* Whether EACCES may only mean that another user has just made the file, and sets its mode next. */
static bool was_just_made(int sys_fd)
{
    struct stat status;
    if (names_stat(sys_fd, LOCK_PRIVATE_NAME, &status) < 0)
        return true; /* gone again, or not yet there */
    return llabs((long long)time(NULL) - status.st_ctime) <= JUST_MADE_S;
}

/*
 * Without O_CREAT first: fs.protected_regular refuses O_CREAT on another's file in a sticky
 * directory. O_EXCL then tells who made it.
 */
static int open_or_make(int sys_fd, mode_t mode)
{
    const int flags = O_RDWR | O_NOCTTY | O_NONBLOCK;
    for (int attempt = 0;; attempt++) {
        int fd = names_open_file(sys_fd, LOCK_PRIVATE_NAME, flags, 0);
        if (fd < 0 && errno == ENOENT)
            fd = names_open_file(sys_fd, LOCK_PRIVATE_NAME, flags | O_CREAT | O_EXCL, mode);
        if (fd >= 0)
            return fd;
        int code = errno;
        bool again = code == EEXIST || (code == EACCES && was_just_made(sys_fd));
        if (!again || attempt == OPEN_ATTEMPTS_MAX)
            return -code;
        nanosleep(&(struct timespec){.tv_nsec = OPEN_PAUSE_NS}, NULL);
    }
}

static int explain_open(int code, const char *cache_path, struct pkgcache_error *error)
{
    const char *path = "/.sys/" LOCK_PRIVATE_NAME;
    switch (code) {
    case EROFS:
        return error_set(error, code,
                         "%s%s: the file system is read-only, so this cache can be read but not "
                         "changed",
                         cache_path, path);
    case EACCES:
    case EPERM:
        return error_set(
            error, code,
            "%s%s: no permission to change this cache: only users who may write to its "
            ".sys directory and to this file can (in a group's cache, modes 2770 "
            "and 0660)",
            cache_path, path);
    case EISDIR:
    case ELOOP:
    case ENXIO:
        return error_set(error, code, "%s%s: not a regular file: move it away", cache_path, path);
    case EXDEV:
        return error_set(error, code, "%s%s: " SAME_MOUNT_WHY, cache_path, path);
    case ENOENT:
        return error_set(error, code,
                         "%s/.sys: no such directory: this is not a cache yet, or it was removed",
                         cache_path);
    default:
        errno = code;
        return error_set(error, code, "%s%s: cannot be opened: %m", cache_path, path);
    }
}

/* What another user, root for instance, has made in a cache of this user's own is in the way. */
static int explain_open_or_make(int sys_fd, const struct stat *sys_status, int code,
                                const char *cache_path, struct pkgcache_error *error)
{
    struct stat status;
    if (code != EACCES || sys_status->st_uid != geteuid() ||
        names_stat(sys_fd, LOCK_PRIVATE_NAME, &status) < 0 || status.st_uid == geteuid())
        return explain_open(code, cache_path, error);
    return error_set(error, code,
                     "%s/.sys/" LOCK_PRIVATE_NAME ": belongs to user %u, who has worked in this "
                     "cache of user %u: as root, chown -R %u %s",
                     cache_path, status.st_uid, geteuid(), geteuid(), cache_path);
}

int lock_file_open(int sys_fd, const char *cache_path, int *ret_fd, struct stat *ret_status,
                   struct pkgcache_error *error)
{
    struct stat sys_status;
    if (fstat(sys_fd, &sys_status) < 0)
        return explain_open(errno, cache_path, error);
    CLEANUP_CLOSE int fd = open_or_make(sys_fd, wanted_mode(&sys_status));
    if (fd < 0)
        return explain_open_or_make(sys_fd, &sys_status, -fd, cache_path, error);
    if (fstat(fd, ret_status) < 0)
        return explain_open(errno, cache_path, error);
    if (!S_ISREG(ret_status->st_mode))
        return error_set(error, EINVAL,
                         "%s/.sys/" LOCK_PRIVATE_NAME ": not a regular file: move it away",
                         cache_path);
    *ret_fd = steal_fd(&fd);
    return 0;
}

static bool is_name_of(int sys_fd, const char *name, const struct stat *status)
{
    struct stat named;
    return names_stat(sys_fd, name, &named) == 0 && named.st_ino == status->st_ino &&
           named.st_dev == status->st_dev;
}

static bool has_record(int fd)
{
    char text[sizeof(RECORD_FIRST_LINE)];
    ssize_t length = pread(fd, text, sizeof(text), 0);
    return length >= 0 && record_may_be(text, (size_t)length);
}

/*
 * While the private lock is held, only its holder gives the file its second name, or takes that
 * away: so all names that it has can be counted. Where users can make hard links to each other's
 * files (fs.protected_hardlinks, proc(5)), the file may be somebody's that is called so, too; and
 * one that lay where others may write may have been moved here.
 */
int lock_file_settle(int sys_fd, int fd, const char *cache_path, struct pkgcache_error *error)
{
    struct stat status, sys_status;
    if (fstat(sys_fd, &sys_status) < 0 || fstat(fd, &status) < 0)
        return explain_open(errno, cache_path, error);
    nlink_t names = (nlink_t)is_name_of(sys_fd, LOCK_PRIVATE_NAME, &status) +
                    (nlink_t)is_name_of(sys_fd, LOCK_PUBLIC_NAME, &status);
    if (status.st_nlink > names || !has_record(fd))
        return error_set(error, EINVAL,
                         "%s/.sys/" LOCK_PRIVATE_NAME
                         ": is no lock's file, or has a name outside of this cache as well, so it "
                         "is not written to. Delete it in .sys, and pkgcache makes a new one",
                         cache_path);
    follow_directory(fd, &status, &sys_status);
    return 0;
}

int lock_file_try(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    switch (errno) {
    case EAGAIN:
    case EACCES:
    case EINTR:
        return -EAGAIN;
    case EINVAL: /* kernel before 3.15 */
    case ENOSYS:
    case ENOLCK:
    case EOPNOTSUPP:
        return -EOPNOTSUPP;
    default:
        return -errno;
    }
}

void lock_file_unlock(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}
