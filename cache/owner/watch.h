/*
 * Events of other processes: inotify(7) reports changes in a hash directory, a pidfd reports the
 * end of a copier. There is no polling.
 */
#pragma once

#include "cache/owner/owner.h"

#include <poll.h>
#include <stdbool.h>

enum { WATCH_EVERYTHING = -1 }; /* in the place of a directory's number */

struct watch_copier {
    pid_t pid;
    uint64_t start;
    int pidfd;
};

struct watch {
    int inotify_fd;
    const struct owner *self;
    struct watch_copier *copiers;
    size_t copier_count;
};

/** @param self this process. @return 0 or -errno; watch_close in any case */
int watch_open(const struct owner *self, struct watch *ret);

void watch_close(struct watch *watch);

/**
 * Watches a directory: whether it is moved, the names in it, and what is written to its files; not
 * their times.
 *
 * @return a number that stands for it in events, the same whenever it is watched; or -errno
 */
int watch_directory(struct watch *watch, int dirfd);

/**
 * Watches a directory for names that are moved out of it, and for nothing else.
 *
 * @return as for watch_directory
 */
int watch_moves(struct watch *watch, int dirfd);

/** Takes back watch_directory. */
void watch_no_more(struct watch *watch, int directory);

/**
 * Takes what inotify has to tell, without waiting.
 *
 * @param seen as for watch_take_events
 */
void watch_take_changes(const struct watch *watch, void (*seen)(void *context, int directory),
                        void *context);

/** Watches a process. Those that cannot be watched are left out: their grace time ends one day. */
void watch_process(struct watch *watch, const struct owner *owner);

/**
 * Adds what is to be waited for.
 *
 * @param fds room for 1 + watch->copier_count
 * @return    how many were filled in
 */
size_t watch_poll_fds(const struct watch *watch, struct pollfd *fds);

/**
 * Takes the events that poll(2) announced.
 *
 * @param fds   as watch_poll_fds filled them in
 * @param count what it returned
 * @param seen  called for each: the number of a directory, or WATCH_EVERYTHING when it is not
 *              known where something changed
 */
void watch_take_events(struct watch *watch, const struct pollfd *fds, size_t count,
                       void (*seen)(void *context, int directory), void *context);
