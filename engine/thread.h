/* Starting the threads of both libraries, so that the program's signals stay with its own. */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/** The stack of a thread of which there may be hundreds. With small ones, which share page tables,
 * starting and ending a thread takes half of the time that it takes with those of 8 MiB. */
enum { THREAD_SMALL_STACK_BYTES = 256 << 10 };

/** As pthread_create(3). @param stack_bytes a wish; 0: what is usual */
static inline int thread_create(pthread_t *ret, size_t stack_bytes,
                                void *(*function)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    if (stack_bytes == 0 || pthread_attr_init(&attributes) != 0)
        return pthread_create(ret, NULL, function, argument);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    int code = pthread_create(ret, &attributes, function, argument);
    pthread_attr_destroy(&attributes);
    /* the program may have more thread-local storage than fits into that */
    return code == EINVAL ? pthread_create(ret, NULL, function, argument) : code;
}

/**
 * Starts a thread that handles no signal but those of its own faults: a handler of the program must
 * not run in a thread that the program does not know.
 *
 * @param stack_bytes 0: what is usual
 * @return            0 or an errno value, as pthread_create(3)
 */
static inline int thread_start_with_stack(pthread_t *ret, size_t stack_bytes,
                                          void *(*function)(void *argument), void *argument)
{
    static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGABRT};
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    int code = thread_create(ret, stack_bytes, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/** The same, with the usual stack. */
static inline int thread_start(pthread_t *ret, void *(*function)(void *argument), void *argument)
{
    return thread_start_with_stack(ret, 0, function, argument);
}
