/* An eventfd that ends the sleep of one thread. */
#pragma once

#include "engine/clock.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>

/** Sleeps until `fd` was written to since the last time, or `wait_ns` are over (UINT64_MAX: never).
 */
static inline void wake_wait(int fd, uint64_t wait_ns)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                               .tv_nsec = (long)(wait_ns % NS_PER_S)};
    eventfd_t count;
    if (wait_ns == UINT64_MAX || ppoll(&poll_fd, 1, &timeout, NULL) > 0)
        eventfd_read(fd, &count); /* interrupted: the caller looks for work again */
}
