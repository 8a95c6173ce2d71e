/* Reading small files with suspicion. */
#include "cache/util/file.h"

#include "cache/util/share.h"

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

int file_open_regular(int dirfd, const char *name, int *ret_fd, struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd =
        openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int code = errno;
        if (code == ELOOP)
            return error_set(error, EBADMSG, "is a symbolic link, not a file");
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
    CLEANUP_CLOSE int fd =
        openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
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

bool file_exists(int dirfd, const char *name)
{
    struct stat status;
    return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

bool file_is_directory(int dirfd, const char *name)
{
    struct stat status;
    return fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}
