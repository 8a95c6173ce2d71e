/*
 * Preloaded into a program (LD_PRELOAD), interrupts it at one place: after the STEPS_AT-th call
 * that changed a file system, the process sends itself the signal STEPS_SIGNAL, and says on
 * standard error which call that was. A call that failed changed nothing and is not counted.
 * STEPS_THREADS=main counts only what the main thread does, and flushes; STEPS_CALL=NAME only calls
 * of that name. One that changes nothing is counted if it is named: getdents64, at the end of a
 * directory, where a process has seen that there is nothing more.
 *
 * Caught are the calls of the C library that pkgcache's cache layer makes, and those that the
 * engine makes on threads. What goes through a ring is not seen, nor is stdio. fcntl(2) is left
 * out: a private lock leaves no trace.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC visibility push(default)

/* The C library calls their parameters otherwise. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

static long number_from(const char *variable)
{
    const char *value = getenv(variable);
    return value ? strtol(value, NULL, 10) : 0;
}

static bool counts_here(void)
{
    const char *threads = getenv("STEPS_THREADS");
    return !threads || strcmp(threads, "main") != 0 || gettid() == getpid();
}

/* Counts a call; `name` is what it was made for, or "". Returns its result. */
static long step(long result, bool counts, const char *call, const char *name)
{
    static atomic_long steps;
    const char *only = getenv("STEPS_CALL");
    int error = errno;
    if (result < 0 || !counts || (only && strcmp(only, call) != 0))
        return result;
    if (atomic_fetch_add(&steps, 1) + 1 == number_from("STEPS_AT")) {
        dprintf(STDERR_FILENO, "stopped after %s %s\n", call, name);
        raise((int)number_from("STEPS_SIGNAL"));
    }
    errno = error;
    return result;
}

static bool is_regular(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

#define STEP(call, name, ...) step(syscall(SYS_##call, __VA_ARGS__), counts_here(), #call, name)

static bool makes_file(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_file(int dirfd, const char *name, int flags, mode_t mode)
{
    long fd = syscall(SYS_openat, dirfd, name, flags, mode);
    return (int)step(fd, makes_file(flags) && counts_here(), "openat", name);
}

int openat(int dirfd, const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = makes_file(flags) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_file(dirfd, name, flags, mode);
}

int open(const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = makes_file(flags) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_file(AT_FDCWD, name, flags, mode);
}

int mkdirat(int dirfd, const char *name, mode_t mode)
{
    return (int)STEP(mkdirat, name, dirfd, name, mode);
}

int unlinkat(int dirfd, const char *name, int flags)
{
    return (int)STEP(unlinkat, name, dirfd, name, flags);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return (int)STEP(linkat, to, from_fd, from, to_fd, to, flags);
}

int symlinkat(const char *target, int dirfd, const char *name)
{
    return (int)STEP(symlinkat, name, target, dirfd, name);
}

int unlink(const char *name)
{
    return (int)STEP(unlinkat, name, AT_FDCWD, name, 0);
}

int rename(const char *from, const char *to)
{
    return (int)STEP(renameat2, to, AT_FDCWD, from, AT_FDCWD, to, 0U);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return (int)STEP(renameat2, to, from_fd, from, to_fd, to, 0U);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return (int)STEP(renameat2, to, from_fd, from, to_fd, to, flags);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    long written = syscall(SYS_write, fd, bytes, length);
    return step(written, written >= 0 && counts_here() && is_regular(fd), "write", "");
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return STEP(pwrite64, "", fd, bytes, length, offset);
}

ssize_t copy_file_range(int from_fd, off_t *from, int to_fd, off_t *to, size_t length,
                        unsigned flags)
{
    return STEP(copy_file_range, "", from_fd, from, to_fd, to, length, flags);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return (int)step(syscall(SYS_ioctl, fd, request, argument), request == FICLONE && counts_here(),
                     "clone", "");
}

ssize_t sendfile(int to_fd, int from_fd, off_t *offset, size_t length)
{
    return STEP(sendfile, "", to_fd, from_fd, offset, length);
}

int ftruncate(int fd, off_t length)
{
    return (int)STEP(ftruncate, "", fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return (int)STEP(fallocate, "", fd, mode, offset, length);
}

int futimens(int fd, const struct timespec times[2])
{
    return (int)STEP(utimensat, "", fd, NULL, times, 0);
}

int utimensat(int dirfd, const char *name, const struct timespec times[2], int flags)
{
    return (int)STEP(utimensat, name, dirfd, name, times, flags);
}

int fchmod(int fd, mode_t mode)
{
    return (int)STEP(fchmod, "", fd, mode);
}

int fchmodat(int dirfd, const char *name, mode_t mode, int flags)
{
    (void)flags;
    return (int)STEP(fchmodat, name, dirfd, name, mode);
}

ssize_t getdents64(int fd, void *buffer, size_t length)
{
    long bytes = syscall(SYS_getdents64, fd, buffer, length);
    return step(bytes, bytes == 0 && getenv("STEPS_CALL") && counts_here(), "getdents64", "");
}

int fsync(int fd)
{
    return (int)step(syscall(SYS_fsync, fd), true, "fsync", "");
}

int syncfs(int fd)
{
    return (int)step(syscall(SYS_syncfs, fd), true, "syncfs", "");
}

#pragma GCC visibility pop

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
