/* Signals: signalfd(2). */
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int signal_fd = -1;

/* Who started us may want us to ignore it, as nohup(1) and a shell's & do. */
static void add_unless_ignored(sigset_t *set, int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(set, number);
}

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    add_unless_ignored(&set, SIGINT);
    add_unless_ignored(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is no reason to leave work half done */
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

void signals_close(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
