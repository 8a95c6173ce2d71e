/* Signals: signalfd(2). */
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int signal_fd = -1;

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    return signal_fd;
}

int signals_fd(void)
{
    return signal_fd;
}

int signals_received(void)
{
    struct signalfd_siginfo information;
    if (signal_fd >= 0 &&
        read(signal_fd, &information, sizeof(information)) == (ssize_t)sizeof(information))
        return (int)information.ssi_signo;
    return SIGINT;
}
