/*
 * Preloaded into a program (LD_PRELOAD), makes its disk slow to flush, or its kernel old:
 *
 *     SLOWSYNC_S=N         syncfs(2) takes N seconds longer
 *     SLOWSYNC_KERNEL=R    uname(2) says that the kernel's release is R
 *     SLOWSYNC_BAD=SIZE    fsync(2) of a file of this size fails with EIO,
 *     SLOWSYNC_ERROR=N     or with this errno
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PRELOADED __attribute__((visibility("default")))

PRELOADED int syncfs(int fd)
{
    const char *seconds = getenv("SLOWSYNC_S");
    struct timespec wait = {.tv_sec = seconds ? strtol(seconds, NULL, 10) : 0};
    nanosleep(&wait, NULL);
    return (int)syscall(SYS_syncfs, fd);
}

PRELOADED int uname(struct utsname *name)
{
    const char *release = getenv("SLOWSYNC_KERNEL");
    int result = (int)syscall(SYS_uname, name);
    if (result == 0 && release)
        snprintf(name->release, sizeof(name->release), "%s", release);
    return result;
}

PRELOADED int fsync(int fd)
{
    const char *bad = getenv("SLOWSYNC_BAD");
    struct stat status;
    if (bad && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size == strtol(bad, NULL, 10)) {
        const char *error = getenv("SLOWSYNC_ERROR");
        errno = error ? (int)strtol(error, NULL, 10) : EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}
