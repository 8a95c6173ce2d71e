/* Telling the service manager: sd_notify(3), without its library. */
#pragma once

#include <stdint.h>

/** Sends lines such as "READY=1". Does nothing when nobody listens. */
void notify_send(const char *state);

/** @return how often a sign of life is wanted, in nanoseconds; 0: nobody wants any */
uint64_t notify_watchdog_ns(void);
