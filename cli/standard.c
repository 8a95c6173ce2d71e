/* What a process begins with, and its end. */
#include "cli/standard.h"

#include "cli/exit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

void standard_keep_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void standard_ignore_signals(void)
{
    signal(SIGXFSZ, SIG_IGN);
}

int standard_end(int code)
{
    if (code > EXIT_SIGNALED) { /* threads may be waiting for a source that hangs: not for them */
        fflush(NULL);
        _exit(code);
    }
    return code;
}
