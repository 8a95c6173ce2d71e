/*
 * Preloaded into a program (LD_PRELOAD) before libfaketime, has "now" as the time of a file mean
 * the kernel's clock, as it does where nothing is preloaded: libfaketime 0.9.10 writes the time
 * that it fakes there, whatever FAKE_UTIME says.
 */
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PRELOADED __attribute__((visibility("default")))

PRELOADED int futimens(int fd, const struct timespec times[2])
{
    return (int)syscall(SYS_utimensat, fd, NULL, times, 0);
}

/* Named as in the C library's header. */
PRELOADED int utimensat(int fd, const char *path, const struct timespec times[2], int flags)
{
    return (int)syscall(SYS_utimensat, fd, path, times, flags);
}
