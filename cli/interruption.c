/* A thread that waits for a signal, and ends the process; nothing is waited for, above all not a
 * server that hangs. */
#include "cli/interruption.h"

#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "engine/thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

static const struct options *asked;
static const char *said;
static _Atomic(const char *) removed;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool decided; /* whether the process ends so, or is past that */

static void *watch(void *argument)
{
    struct pollfd poll_fd = {.fd = signals_fd(), .events = POLLIN};
    (void)argument;
    while (poll(&poll_fd, 1, -1) <= 0)
        ;
    if (atomic_exchange(&decided, true))
        return NULL;
    pthread_mutex_lock(&held);
    const char *path = removed;
    if (path)
        unlink(path);
    int code = EXIT_SIGNALED + signals_received();
    progress_clear();
    output_error(asked, code, EINTR, "%s", said);
    _exit(code);
}

void interruption_begin(const struct options *options, const char *message)
{
    pthread_t thread;
    asked = options;
    said = message;
    if (signals_open() >= 0 && thread_start(&thread, watch, NULL) == 0)
        pthread_detach(thread);
}

void interruption_remove(const char *path)
{
    removed = path;
}

void interruption_hold(void)
{
    pthread_mutex_lock(&held);
}

void interruption_release(void)
{
    pthread_mutex_unlock(&held);
}

void interruption_end(void)
{
    static bool ended;
    while (!ended && atomic_exchange(&decided, true))
        pause(); /* the process is about to end */
    ended = true;
}
