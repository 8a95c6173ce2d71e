/* Time as both libraries count it. */
#pragma once

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_US 1000ULL

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

#define CLOCK_FILE_MAX_S 4000000000LL /* the year 2096 */

/** A file's time in seconds, to reckon with: file systems take times of any year, and whoever may
 * write a file may set them. What is out of bounds is the bound. */
static inline int64_t clock_file_s(struct timespec time)
{
    if (time.tv_sec > CLOCK_FILE_MAX_S)
        return CLOCK_FILE_MAX_S;
    return time.tv_sec < -CLOCK_FILE_MAX_S ? -CLOCK_FILE_MAX_S : time.tv_sec;
}

/** The same in nanoseconds; two of them can be added or subtracted. */
static inline int64_t clock_file_ns(struct timespec time)
{
    return clock_file_s(time) * (int64_t)NS_PER_S + time.tv_nsec;
}

/** Seconds since a file's time; below 0: it is in the future. */
static inline double clock_age_s(struct timespec time)
{
    return (double)clock_ns(CLOCK_REALTIME) / (double)NS_PER_S - (double)time.tv_sec;
}

/**
 * How long to wait until a time, as poll(2) and epoll_wait(2) take it.
 *
 * @param until_ns UINT64_MAX: never
 * @return         milliseconds, rounded up; 0: it is over; -1: never. Of what is more than an int
 *                 holds (24.8 days) that: whoever waits looks again then
 */
static inline int clock_poll_ms(uint64_t until_ns, uint64_t now_ns)
{
    if (until_ns == UINT64_MAX)
        return -1;
    uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / NS_PER_MS + 1 : 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
