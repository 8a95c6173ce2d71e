/* The event loop. Timers are few, so they are a list that is gone through in each turn. */
#include "cache/service/loop.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <limits.h>
#include <sys/epoll.h>

enum { EVENTS_AT_ONCE = 64 };

int loop_open(struct loop *ret)
{
    *ret = (struct loop){
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .tasks_last = &ret->tasks,
        .timers_last = &ret->timers,
    };
    return ret->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *loop)
{
    cleanup_close_fd(&loop->epoll_fd);
    loop->epoll_fd = -1;
}

int loop_watch_fd(struct loop *loop, int fd, uint32_t events, struct loop_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_set_events(struct loop *loop, int fd, uint32_t events, struct loop_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void loop_unwatch_fd(struct loop *loop, int fd)
{
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void loop_add_task(struct loop *loop, struct loop_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_last = task;
    loop->tasks_last = &task->next;
}

void loop_start_timer(struct loop *loop, struct loop_timer *timer, uint64_t interval_ns)
{
    if (!timer->added) {
        timer->added = true;
        timer->next = NULL;
        *loop->timers_last = timer;
        loop->timers_last = &timer->next;
    }
    timer->running = true;
    timer->interval_ns = interval_ns;
}

void loop_stop_timer(struct loop_timer *timer)
{
    timer->running = false;
}

void loop_stop(struct loop *loop, int result)
{
    if (!loop->stopping)
        loop->result = result;
    loop->stopping = true;
}

/* How long to wait for events, in ms, as epoll_wait(2) takes it. */
static int wait_ms(const struct loop *loop)
{
    uint64_t due_ns = UINT64_MAX;
    if (loop->tasks)
        return 0;
    for (const struct loop_timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->running)
            due_ns = MIN(due_ns, timer->due_ns);
    return clock_poll_ms(due_ns, clock_monotonic_ns());
}

void loop_wait_events(struct loop *loop)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_AT_ONCE, wait_ms(loop));
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = events[i].data.ptr;
        watch->on_events(watch, events[i].events);
    }
}

void loop_run_tasks(struct loop *loop)
{
    struct loop_task *task = loop->tasks;
    loop->tasks = NULL;
    loop->tasks_last = &loop->tasks;
    for (struct loop_task *next; task; task = next) {
        next = task->next;
        task->queued = false;
        task->run(task); /* and may free it */
    }
}

void loop_run_timers(struct loop *loop)
{
    uint64_t now_ns = clock_monotonic_ns();
    for (struct loop_timer *timer = loop->timers; timer; timer = timer->next) {
        if (!timer->running || timer->due_ns > now_ns)
            continue;
        timer->due_ns = now_ns + timer->interval_ns;
        timer->on_time(timer);
    }
}
