/*
 * Preloaded into a program (LD_PRELOAD), makes its disk slow to flush: syncfs(2) takes SLOWSYNC_S
 * seconds longer.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int syncfs(int fd)
{
    const char *seconds = getenv("SLOWSYNC_S");
    struct timespec wait = {.tv_sec = seconds ? strtol(seconds, NULL, 10) : 0};
    nanosleep(&wait, NULL);
    return (int)syscall(SYS_syncfs, fd);
}
