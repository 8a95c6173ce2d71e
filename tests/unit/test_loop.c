/* The event loop: the order of events, tasks and timers. */
#include "cache/service/loop.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct fixture {
    struct loop loop;
    struct loop_watch watch;
    struct loop_task task;
    struct loop_timer timer;
    int fd;
    unsigned events;
    unsigned runs;
    unsigned times;
    bool adds_again;
};

static void on_events(struct loop_watch *watch, uint32_t events)
{
    struct fixture *fixture = CONTAINER_OF(watch, struct fixture, watch);
    eventfd_t count;
    cr_assert(events & EPOLLIN);
    eventfd_read(fixture->fd, &count);
    fixture->events++;
    loop_add_task(&fixture->loop, &fixture->task);
}

static void run_task(struct loop_task *task)
{
    struct fixture *fixture = CONTAINER_OF(task, struct fixture, task);
    fixture->runs++;
    if (fixture->adds_again)
        loop_add_task(&fixture->loop, task);
}

static void on_time(struct loop_timer *timer)
{
    struct fixture *fixture = CONTAINER_OF(timer, struct fixture, timer);
    fixture->times++;
}

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){
        .watch = {.on_events = on_events},
        .task = {.run = run_task},
        .timer = {.on_time = on_time},
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    cr_assert(fixture->fd >= 0);
    cr_assert_eq(loop_open(&fixture->loop), 0);
    cr_assert_eq(loop_watch_fd(&fixture->loop, fixture->fd, EPOLLIN, &fixture->watch), 0);
}

static void tear_down(struct fixture *fixture)
{
    loop_close(&fixture->loop);
    close(fixture->fd);
}

static void take_turn(struct loop *loop)
{
    loop_wait_events(loop);
    loop_run_tasks(loop);
    loop_run_timers(loop);
}

Test(loop, tasks_run_after_events)
{
    struct fixture fixture;
    set_up(&fixture);
    eventfd_write(fixture.fd, 1);
    loop_wait_events(&fixture.loop);
    cr_expect_eq(fixture.events, 1);
    cr_expect_eq(fixture.runs, 0);
    loop_run_tasks(&fixture.loop);
    cr_expect_eq(fixture.runs, 1);
    tear_down(&fixture);
}

Test(loop, a_task_is_queued_once)
{
    struct fixture fixture;
    set_up(&fixture);
    loop_add_task(&fixture.loop, &fixture.task);
    loop_add_task(&fixture.loop, &fixture.task);
    loop_run_tasks(&fixture.loop);
    cr_expect_eq(fixture.runs, 1);
    loop_run_tasks(&fixture.loop);
    cr_expect_eq(fixture.runs, 1);
    tear_down(&fixture);
}

Test(loop, a_task_that_is_added_by_itself_runs_in_the_next_turn)
{
    struct fixture fixture;
    set_up(&fixture);
    fixture.adds_again = true;
    loop_add_task(&fixture.loop, &fixture.task);
    loop_run_tasks(&fixture.loop);
    cr_expect_eq(fixture.runs, 1);
    take_turn(&fixture.loop); /* which does not wait: nothing else would end it */
    cr_expect_eq(fixture.runs, 2);
    tear_down(&fixture);
}

Test(loop, a_timer_runs_at_once_and_then_in_each_interval)
{
    const uint64_t interval_ns = 20 * NS_PER_MS;
    struct fixture fixture;
    set_up(&fixture);
    uint64_t since_ns = clock_monotonic_ns();
    loop_start_timer(&fixture.loop, &fixture.timer, interval_ns);
    take_turn(&fixture.loop);
    cr_expect_eq(fixture.times, 1);
    while (fixture.times < 3)
        take_turn(&fixture.loop); /* waits for nothing but the timer */
    cr_expect_geq(clock_monotonic_ns() - since_ns, 2 * interval_ns);
    tear_down(&fixture);
}

Test(loop, a_timer_that_is_stopped_goes_on_when_it_was_due)
{
    struct fixture fixture;
    set_up(&fixture);
    loop_start_timer(&fixture.loop, &fixture.timer, 3600 * NS_PER_S);
    loop_run_timers(&fixture.loop);
    loop_stop_timer(&fixture.timer);
    loop_start_timer(&fixture.loop, &fixture.timer, 3600 * NS_PER_S);
    loop_run_timers(&fixture.loop);
    cr_expect_eq(fixture.times, 1);
    tear_down(&fixture);
}

/* What poll(2) and epoll_wait(2) are told. */
Test(loop, a_wait_of_any_length)
{
    const uint64_t now_ns = 5 * NS_PER_S;
    const uint64_t day_ns = (uint64_t)24 * 3600 * NS_PER_S;
    cr_expect_eq(clock_poll_ms(UINT64_MAX, now_ns), -1);
    cr_expect_eq(clock_poll_ms(0, now_ns), 0);
    cr_expect_eq(clock_poll_ms(now_ns, now_ns), 0);
    cr_expect_eq(clock_poll_ms(now_ns + 1, now_ns), 1);
    cr_expect_eq(clock_poll_ms(now_ns + 24 * day_ns, now_ns), 24 * 24 * 3600 * 1000 + 1);
    cr_expect_eq(clock_poll_ms(now_ns + 25 * day_ns, now_ns), INT_MAX);
    cr_expect_eq(clock_poll_ms(now_ns + 365 * day_ns, now_ns), INT_MAX);
    cr_expect_eq(clock_poll_ms(UINT64_MAX - 1, now_ns), INT_MAX);
}

Test(loop, a_stopped_timer_does_not_run)
{
    struct fixture fixture;
    set_up(&fixture);
    loop_start_timer(&fixture.loop, &fixture.timer, NS_PER_MS);
    loop_stop_timer(&fixture.timer);
    loop_run_timers(&fixture.loop);
    cr_expect_eq(fixture.times, 0);
    tear_down(&fixture);
}

Test(loop, the_first_result_of_stop_counts)
{
    struct fixture fixture;
    set_up(&fixture);
    cr_expect(!fixture.loop.stopping);
    loop_stop(&fixture.loop, -ESTALE);
    loop_stop(&fixture.loop, 0);
    cr_expect(fixture.loop.stopping);
    cr_expect_eq(fixture.loop.result, -ESTALE);
    tear_down(&fixture);
}

Test(loop, an_unwatched_descriptor_has_no_events)
{
    struct fixture fixture;
    set_up(&fixture);
    eventfd_write(fixture.fd, 1);
    loop_unwatch_fd(&fixture.loop, fixture.fd);
    loop_start_timer(&fixture.loop, &fixture.timer, NS_PER_MS);
    take_turn(&fixture.loop);
    cr_expect_eq(fixture.events, 0);
    tear_down(&fixture);
}
