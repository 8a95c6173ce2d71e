/*
 * Runs a test program with a process number space and mounts of its own, as a container would:
 *
 *     apart PROGRAM [ARGUMENT...]
 *
 * pkgcache looks at all processes that there are before it deletes something. So what else runs on
 * the machine, and each test that does beside this one, would make a test slower, and could change
 * what it finds. What the program mounts nobody else sees or keeps; what it leaves running or
 * mounted ends with it, and it is told so (PKGCACHE_TEST_APART).
 *
 * world.py does more, for hosts of a farm; this costs a suite next to nothing.
 *
 * Without the right to that, or outside of a run of tests (PKGCACHE_TEST_RUN names one), the
 * program is just started. Exit status: the program's; 128 and the number of a signal that ended
 * it.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_APART = 125, NOT_STARTED = 127 };

static void start(char **argv)
{
    execvp(argv[0], argv);
    fprintf(stderr, "apart: %s: %s\n", argv[0], strerror(errno));
    _exit(NOT_STARTED);
}

/* Waits for this child, and for whoever else was left to us. Returns its exit status. */
static int wait_for(pid_t child)
{
    int status;
    /* Who wants a test to end tells its group, and so the program, which cleans up. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (pid_t ended = 0; ended != child;) {
        ended = wait(&status);
        if (ended < 0 && errno != EINTR)
            return NOT_STARTED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The first process there: the parent of what nobody else is the parent of. */
static void be_first(char **argv)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        _exit(NOT_APART);
    pid_t program = fork();
    if (program == 0) {
        setenv("PKGCACHE_TEST_APART", "yes", 1);
        start(argv);
    }
    _exit(program < 0 ? NOT_APART : wait_for(program));
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    argv++;
    pid_t first = -1;
    if (getenv("PKGCACHE_TEST_RUN")) /* fork(2), into new namespaces */
        first = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (first == 0)
        be_first(argv);
    int status = first < 0 ? NOT_APART : wait_for(first);
    if (status != NOT_APART)
        return status;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    start(argv);
}
