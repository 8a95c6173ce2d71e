/*
 * An event loop for one thread: descriptors (epoll(7)), timers, and tasks, which run after the
 * events of a turn have been handled. It knows nothing of those that it calls.
 *
 *     while (!loop.stopping) {
 *         loop_wait_events(&loop);
 *         loop_run_tasks(&loop);
 *         loop_run_timers(&loop);
 *     }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** A descriptor's events, as epoll(7) has them. Lives in what handles them. */
struct loop_watch {
    void (*on_events)(struct loop_watch *watch, uint32_t events);
};

/** Something to do in this turn. Lives in what does it. */
struct loop_task {
    void (*run)(struct loop_task *task);
    struct loop_task *next; /* private, as all below */
    bool queued;
};

/** Something to do every so often. Lives in what does it, as long as the loop. */
struct loop_timer {
    void (*on_time)(struct loop_timer *timer);
    struct loop_timer *next; /* private, as all below */
    uint64_t interval_ns;
    uint64_t due_ns;
    bool added;
    bool running;
};

struct loop {
    bool stopping; /* whoever runs the loop ends it */
    int result;    /* of loop_stop */
    int epoll_fd;  /* private, as all below */
    struct loop_task *tasks;
    struct loop_task **tasks_last;
    struct loop_timer *timers;
    struct loop_timer **timers_last;
};

/** @param ret closed with loop_close in any case. @return 0 or -errno */
int loop_open(struct loop *ret);

/** Closes the loop, not the descriptors that it watched. */
void loop_close(struct loop *loop);

/**
 * Watches a descriptor until it is closed, or loop_unwatch_fd.
 *
 * @param events of epoll(7), level-triggered
 * @return       0 or -errno
 */
int loop_watch_fd(struct loop *loop, int fd, uint32_t events, struct loop_watch *watch);

/** Changes which events of a descriptor are of interest. */
void loop_set_events(struct loop *loop, int fd, uint32_t events, struct loop_watch *watch);

/** Watches a descriptor no longer. */
void loop_unwatch_fd(struct loop *loop, int fd);

/** Has a task run once: in this turn, or the next one if tasks are running now. Does nothing if it
 * is queued already. */
void loop_add_task(struct loop *loop, struct loop_task *task);

/** Has a timer run at once, and then once in each interval. One that was stopped goes on when it
 * would have been due next. */
void loop_start_timer(struct loop *loop, struct loop_timer *timer, uint64_t interval_ns);

/** Has a timer run no longer. */
void loop_stop_timer(struct loop_timer *timer);

/** Has the loop end. The first result counts. */
void loop_stop(struct loop *loop, int result);

/** Waits for events until the next timer is due, or not at all when there are tasks, and handles
 * them. */
void loop_wait_events(struct loop *loop);

/** Runs the tasks that were added until now. */
void loop_run_tasks(struct loop *loop);

/** Runs the timers that are due. */
void loop_run_timers(struct loop *loop);
