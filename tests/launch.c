/*
 * Starts a program that does not outlive who started it: what the tests of the program do many
 * thousand times. Done between fork and exec in Python, it would take a fork that copies Python.
 *
 *     launch FD UID PROGRAM [ARGUMENT...]
 *
 * FD is the writing end of a pipe: closed once the program runs; the number of an error is written
 * to it when it cannot. UID is the user to become, -1: the same. Static, so that it starts at once,
 * and so that what is preloaded is so for the program alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int become(uid_t uid)
{
    return setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int fd = atoi(argv[1]);
    int uid = atoi(argv[2]);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && (uid < 0 || become((uid_t)uid) == 0) &&
        prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        execvp(argv[3], argv + 3);
    dprintf(fd, "%d", errno);
    return 127;
}
