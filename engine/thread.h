/* Starting the threads of both libraries, so that the program's signals stay with its own. */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/**
 * Starts a thread that handles no signal but those of its own faults: a handler of the program must
 * not run in a thread that the program does not know.
 *
 * @return 0 or an errno value, as pthread_create(3)
 */
static inline int thread_start(pthread_t *ret, void *(*function)(void *argument), void *argument)
{
    static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGABRT};
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    int code = pthread_create(ret, NULL, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}
