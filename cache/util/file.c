/* Reading small files with suspicion. */
#include "cache/util/file.h"

#include "cache/util/names.h"
#include "cache/util/share.h"

#include "engine/same_mount.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a fifo";
    return "a device";
}

enum {
    LEASE_RETRY_MS = 5,
    LEASE_WAIT_MS = 60000, /* the kernel waits for 45 s (/proc/sys/fs/lease-break-time) */
};

bool file_waits_for_lease(int code, unsigned *waited_ms)
{
    if (code != EAGAIN || *waited_ms >= LEASE_WAIT_MS)
        return false;
    usleep(LEASE_RETRY_MS * 1000);
    *waited_ms += LEASE_RETRY_MS;
    return true;
}

/* A path that the caller has named may lead through mounts; a name in a directory may not. */
static int open_there(int dirfd, const char *name, int flags)
{
    return dirfd == AT_FDCWD ? openat(dirfd, name, flags) : same_mount_open(dirfd, name, flags, 0);
}

int file_open(int dirfd, const char *name, int flags)
{
    for (unsigned waited_ms = 0;;) {
        int fd = open_there(dirfd, name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 || !file_waits_for_lease(errno, &waited_ms))
            return fd;
    }
}

int file_open_regular(int dirfd, const char *name, int *ret_fd, struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = file_open(dirfd, name, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) {
        int code = errno;
        if (code == ELOOP)
            return error_set(error, EBADMSG, "is a symbolic link, not a file");
        if (code == EXDEV)
            return error_set(error, code, SAME_MOUNT_WHY);
        if (code == ENXIO)
            return error_set(error, EBADMSG, "is a socket or a device, not a file");
        return error_set(error, code, "cannot open: %s", strerrordesc_np(code));
    }

    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(error, errno, "fstat: %s", strerrordesc_np(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, EBADMSG, "is %s, not a file", kind_of(status.st_mode));
    *ret_fd = steal_fd(&fd);
    return 0;
}

int file_read(int fd, size_t max_bytes, struct text *text, struct pkgcache_error *error)
{
    enum { STEP = 1023 };
    size_t before = text->length;
    for (;;) {
        size_t room = MAX(text->capacity - text->length, (size_t)STEP + 1) - 1;
        if (text_reserve(text, room) < 0)
            return error_set(error, ENOMEM, "not enough memory to read a file");
        ssize_t got = read(fd, text->bytes + text->length, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, errno, "cannot read: %s", strerrordesc_np(errno));
        text->length += (size_t)got;
        text->bytes[text->length] = '\0';
        if (text->length - before > max_bytes)
            return error_set(error, EBADMSG, "is larger than %zu bytes", max_bytes);
        if (got == 0)
            return 0;
    }
}

static int write_bytes(int fd, const void *bytes, size_t length)
{
    ssize_t written = write(fd, bytes, length);
    if (written < 0)
        return -errno;
    return (size_t)written == length ? 0 : -ENOSPC;
}

int file_write(int fd, const char *text)
{
    return write_bytes(fd, text, strlen(text));
}

/* Before the file has its name, or what it is to hold: others may open it then. */
static void share(int dirfd, int fd)
{
    struct stat directory;
    if (fstat(dirfd, &directory) == 0)
        share_follow(fd, &directory, share_file_bits(directory.st_mode));
}

static int make_in_place(int dirfd, const char *name, const void *bytes, size_t length, int *ret_fd)
{
    CLEANUP_CLOSE int fd = names_open_file(dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0666);
    if (fd < 0)
        return -errno;
    share(dirfd, fd);
    int result = write_bytes(fd, bytes, length);
    if (result < 0)
        unlinkat(dirfd, name, 0);
    else
        *ret_fd = steal_fd(&fd);
    return result;
}

int file_make(int dirfd, const char *name, const char *text, int *ret_fd)
{
    return file_make_bytes(dirfd, name, text, strlen(text), ret_fd);
}

int file_make_bytes(int dirfd, const char *name, const void *bytes, size_t length, int *ret_fd)
{
    char path[32];
    CLEANUP_CLOSE int fd = openat(dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return make_in_place(dirfd, name, bytes, length, ret_fd);
    int result = fd < 0 ? -errno : write_bytes(fd, bytes, length);
    if (result < 0)
        return result;
    share(dirfd, fd);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0) {
        if (errno == ENOENT || errno == EXDEV) /* no /proc */
            return make_in_place(dirfd, name, bytes, length, ret_fd);
        return -errno;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int file_open_unnamed(const char *directory)
{
    CLEANUP_FREE char *name = NULL;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
        return fd >= 0 ? fd : -errno;
    if (asprintf(&name, "%s/.pkgcache-XXXXXX", directory) < 0)
        return -ENOMEM;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(name);
    return fd;
}

bool file_exists(int dirfd, const char *name)
{
    struct stat status;
    return names_stat(dirfd, name, &status) == 0 || errno == EXDEV;
}

static bool has_one_name(int fd, struct stat *ret)
{
    return fstat(fd, ret) == 0 && S_ISREG(ret->st_mode) && ret->st_nlink == 1;
}

/* The one name is this one if it was there in between: else there were two for a moment. */
bool file_has_only_name(int dirfd, const char *name, int fd)
{
    struct stat opened;
    struct stat named;
    return has_one_name(fd, &opened) && names_stat(dirfd, name, &named) == 0 &&
           named.st_ino == opened.st_ino && named.st_dev == opened.st_dev &&
           has_one_name(fd, &opened);
}

bool file_is_directory(int dirfd, const char *name)
{
    struct stat status;
    return names_stat(dirfd, name, &status) == 0 && S_ISDIR(status.st_mode);
}

/* As /dev/stdout is, whatever it leads to: a link that belongs to all of the system. */
static bool is_link_into_proc(const char *path)
{
    static const char proc[] = "/proc/";
    char target[sizeof(proc) - 1];
    return readlink(path, target, sizeof(target)) == (ssize_t)sizeof(target) &&
           memcmp(target, proc, sizeof(target)) == 0;
}

int file_check_place(const char *path, struct pkgcache_error *error)
{
    struct stat status;
    if (stat(path, &status) < 0 || (S_ISREG(status.st_mode) && !is_link_into_proc(path)))
        return 0;
    if (S_ISDIR(status.st_mode))
        return error_set(error, EISDIR, "%s is a directory: name a file", path);
    return error_set(error, EINVAL,
                     "%s is no regular file, and nothing else can be replaced: name another one",
                     path);
}

int file_write_at(int fd, const void *bytes, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t written = pwrite(fd, bytes, length, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        bytes = (const char *)bytes + written;
        length -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int file_write_all(int fd, const void *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        bytes = (const char *)bytes + written;
        length -= (size_t)written;
    }
    return 0;
}
