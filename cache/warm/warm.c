/*
 * Many variants at once: what is begun when, and waiting for whatever comes first. The engine
 * shares its threads out so that small variants overtake large ones; here it is enough to begin
 * with new ones while those under way are small, or known to be large.
 */
#include "cache/store/elements.h"
#include "cache/store/stats.h"
#include "cache/warm/run.h"

#include "engine/clock.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

enum {
    FLUSHING_MAX = 64, /* that wait to be flushed; each has three descriptors open */
    DESCRIPTORS_PER_FLUSHING = 16,
    CHECKING_MS = 1000,  /* how long all wait for roots to be looked at */
    BEAT_LOOK_MS = 1000, /* during a flush, which says nothing until its end */
    REPORT_INTERVAL_MS = 100,
    CANCEL_WAIT_MS = 600, /* for jobs to end, when the run is cancelled */
    CANCEL_LOCK_MS = 200,
};

/* Takes the lock; if it cannot be had, the run ends. */
static struct lock *take_lock(struct run *run)
{
    struct lock *lock = NULL;
    int result = cache_lock(run->cache, cache_lock_timeout_ms(run->cache), run->warm.cancel_fd,
                            &lock, &run->error);
    if (result < 0)
        run_fail(run, result);
    return lock;
}

/* Does one step for each of a group. Returns those for which the next step is due. */
static struct addition *step_group(struct addition *group, const struct lock *lock,
                                   bool (*step)(struct addition *addition, const struct lock *lock))
{
    struct addition *kept = NULL;
    struct addition **end = &kept;
    while (group) {
        struct addition *addition = group;
        group = addition->next;
        addition->next = NULL;
        if (step(addition, lock)) {
            *end = addition;
            end = &addition->next;
        }
    }
    return kept;
}

/* Takes those from the queues whose slots are to be claimed now. */
static struct addition *take_group(struct run *run)
{
    struct addition *group = NULL;
    struct addition **end = &group;
    for (unsigned left = run_spare_jobs(run); left > 0 && run->fatal == 0;) {
        struct addition *addition = run_dequeue(run);
        if (!addition)
            break;
        if (addition_check(addition)) {
            addition->next = NULL;
            *end = addition;
            end = &addition->next;
            left--;
            run->claiming++;
        }
    }
    run->claiming = 0;
    run->claimed_bytes = 0;
    return group;
}

static void flush_group(struct addition *group)
{
    while (group) {
        struct addition *addition = group;
        group = addition->next;
        addition_flush(addition);
    }
}

/*
 * Claims slots for a group and starts the copies. The lock is held twice, for moments; the disk is
 * waited for in between, once for all: the first fsync(2) commits what the others wait for.
 */
static void claim_slots(struct run *run, struct addition *group)
{
    struct lock *lock = take_lock(run);
    if (!lock)
        return;
    group = step_group(group, lock, addition_reserve);
    if (run_is_durable(run)) {
        lock_release(lock);
        for (struct addition *addition = group; addition; addition = addition->next)
            addition_sync_reservation(addition);
        lock = take_lock(run);
        if (!lock)
            return;
    }
    group = step_group(group, lock, addition_announce);
    group = step_group(group, lock, addition_copy);
    group = step_group(group, lock, addition_place);
    lock_release(lock);
    flush_group(group);
}

static void begin_more(struct run *run)
{
    while (run->phase == RUN_COPYING && run_has_new(run) && !run_awaits_space(run) &&
           run->fatal == 0) {
        int result = cache_start_engine(run->cache, &run->error);
        if (result < 0)
            run_fail(run, result);
        run_look_at_jobs(run);
        struct addition *group = take_group(run);
        if (!group)
            return;
        claim_slots(run, group);
    }
}

static void on_flushed(void *context)
{
    struct run *run = context;
    heartbeat_beat(&run->heartbeat);
    eventfd_write(run->event_fd, 1);
}

static void on_checked(void *context)
{
    const struct run *run = context;
    eventfd_write(run->event_fd, 1);
}

static struct addition *pop_copied(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    struct addition *copied = run->copied;
    run->copied = NULL;
    pthread_mutex_unlock(&run->lock);
    return copied;
}

static void take_copied(struct run *run)
{
    struct addition *group = pop_copied(run);
    struct lock *lock = group ? take_lock(run) : NULL;
    if (!lock) {
        run->copied_unplaced = group;
        return;
    }
    group = step_group(group, lock, addition_take_copy);
    group = step_group(group, lock, addition_place);
    lock_release(lock);
    flush_group(group);
}

static void take_checked(struct run *run)
{
    struct root_check *check = roots_take_done(run->roots);
    while (check) {
        struct root_check *next = check->next;
        if (check->context)
            addition_take_root_check(check->context, check);
        roots_free_check(check);
        check = next;
    }
}

/* The first sidecars are on the disk, or cannot be. */
static void take_staged(struct run *run)
{
    int result = run->staged.result;
    run->phase = RUN_COPYING;
    if (result < 0)
        run_fail(run, error_set(&run->error, -result, "cache %s: cannot write to disk: %s%s",
                                run->cache->path, strerror(-result), error_advice(-result)));
}

static void take_flushed(struct run *run)
{
    struct addition *group = NULL;
    struct flush_request *request = flusher_take_done(run->flusher);
    for (struct flush_request *next; request; request = next) {
        next = request->next;
        if (request == &run->staged) {
            take_staged(run);
            continue;
        }
        struct addition *addition = CONTAINER_OF(request, struct addition, flush);
        addition->next = group;
        group = addition;
    }
    struct lock *lock = group ? take_lock(run) : NULL;
    if (!lock)
        return;
    group = step_group(group, lock, addition_commit);
    lock_release(lock);
    while (group) {
        struct addition *addition = group;
        group = addition->next;
        addition_conclude(addition);
    }
}

/*
 * Stages the sidecars of all whose roots are known, and has them flushed together. A root that
 * takes long holds nobody up: its variant comes later, and its sidecar is flushed by itself.
 */
static void stage_sidecars(struct run *run)
{
    if (run->checking > 0 && clock_monotonic_ns() < run->checking_until_ns)
        return;
    run->phase = RUN_COPYING;
    char reason[SPACE_REASON_MAX];
    if (!run_has_new(run) || !run_is_durable(run) || run_lacks_space(run, reason))
        return; /* staged one by one, as they are begun with */
    for (unsigned i = 0; i < RUN_PRIORITIES; i++)
        for (struct addition *addition = run->queues[i].first; addition; addition = addition->next)
            if (addition_stage(addition, false) < 0)
                return; /* it will be tried again, and say why */
    run->phase = RUN_STAGING;
    run->staged.tree_fd = run->staging.fd;
    flusher_add(run->flusher, &run->staged);
}

static void requeue_waiter(struct run *run, struct waiter *waiter)
{
    run_enqueue(run, CONTAINER_OF(waiter, struct addition, waiter));
}

static void on_watched(void *context, int directory)
{
    struct run *run = context;
    bool all = directory == WATCH_EVERYTHING;
    for (struct waiter *waiter;
         (waiter = all ? wait_queue_take_due(&run->wait_queue, UINT64_MAX)
                       : wait_queue_take_of_directory(&run->wait_queue, directory));)
        requeue_waiter(run, waiter);
}

static void requeue_overdue(struct run *run)
{
    uint64_t now_ns = clock_monotonic_ns();
    for (struct waiter *waiter; (waiter = wait_queue_take_due(&run->wait_queue, now_ns));)
        requeue_waiter(run, waiter);
}

/* Milliseconds until something is due without anybody saying so; -1: nothing is. */
static int wait_timeout_ms(struct run *run)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t nearest_ns = wait_queue_deadline_ns(&run->wait_queue);
    if (run->phase == RUN_CHECKING)
        nearest_ns = MIN(nearest_ns, run->checking > 0 ? run->checking_until_ns : now_ns);
    if (run->checking > 0)
        nearest_ns = MIN(nearest_ns, now_ns + ROOTS_STUCK_MS * NS_PER_MS);
    if (run->flushing > 0)
        nearest_ns = MIN(nearest_ns, now_ns + BEAT_LOOK_MS * NS_PER_MS);
    if (run->job_count > 0 && run_has_new(run)) /* some may have stopped moving */
        nearest_ns = MIN(nearest_ns, now_ns + RUN_STILL_MS * NS_PER_MS);
    if (run->report_withheld)
        nearest_ns = MIN(nearest_ns, run->reported_ns + REPORT_INTERVAL_MS * NS_PER_MS);
    return clock_poll_ms(nearest_ns, now_ns);
}

/* A flush completes nothing until its end; but what the kernel writes meanwhile are completions. */
static void beat_while_flushing(struct run *run)
{
    if (run->flushing > 0 && flusher_progresses(run->flusher))
        heartbeat_beat(&run->heartbeat);
}

/* Sleeps until something happened, and takes it in. */
static int wait_for_events(struct run *run, int timeout_ms)
{
    size_t room = 3 + run->watch.copier_count;
    CLEANUP_FREE struct pollfd *fds = calloc(room, sizeof(*fds));
    if (!fds)
        return error_set(&run->error, ENOMEM, "out of memory");
    fds[0] = (struct pollfd){.fd = run->event_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = run->warm.cancel_fd, .events = POLLIN};
    size_t watched = watch_poll_fds(&run->watch, fds + 2);
    if (poll(fds, 2 + watched, timeout_ms) < 0 && errno != EINTR)
        return error_set(&run->error, errno, "poll: %s", strerror(errno));
    if (fds[1].revents)
        return error_set(&run->error, ECANCELED, "interrupted");
    eventfd_t count;
    if (fds[0].revents)
        eventfd_read(run->event_fd, &count);
    watch_take_events(&run->watch, fds + 2, watched, on_watched, run);
    return 0;
}

/* Calls on_progress now and then; also for the last progress before a long pause. */
static void report_progress(struct run *run)
{
    const struct pkgcache_warm *warm = &run->warm;
    if (!warm->on_progress)
        return;
    uint64_t now_ns = clock_monotonic_ns();
    run->report_withheld = now_ns < run->reported_ns + REPORT_INTERVAL_MS * NS_PER_MS;
    if (run->report_withheld)
        return;
    run->reported_ns = now_ns;
    struct pkgcache_progress progress = run_sum_progress(run);
    if (warm->on_progress(warm->context, &progress) != 0)
        run_fail(run, error_set(&run->error, ECANCELED, "interrupted"));
}

static void forget_jobs(struct run *run, struct addition *copied)
{
    for (; copied; copied = copied->next) {
        copyengine_wait(copied->job);
        run_free_job(run, copied);
    }
}

/*
 * Cancels all jobs, and waits for them: they end soon, also when a source hangs; if not, the
 * cache's own disk hangs.
 */
static void cancel_jobs(struct run *run)
{
    for (size_t i = 0; i < run->job_count; i++)
        copyengine_cancel(run->jobs[i]->job);
    forget_jobs(run, run->copied_unplaced);
    uint64_t deadline_ns = clock_monotonic_ns() + CANCEL_WAIT_MS * NS_PER_MS;
    for (;;) {
        forget_jobs(run, pop_copied(run));
        uint64_t now_ns = clock_monotonic_ns();
        if (run->job_count == 0 || now_ns >= deadline_ns)
            return;
        struct pollfd fd = {.fd = run->event_fd, .events = POLLIN};
        eventfd_t count;
        if (poll(&fd, 1, clock_poll_ms(deadline_ns, now_ns)) > 0)
            eventfd_read(run->event_fd, &count);
    }
}

/*
 * Ends a run that failed: jobs are cancelled and their slots given up, so that nothing unfinished
 * stays. A job that does not end is left to the end of the process; its slot and staging are then
 * known to be a dead process's.
 */
static void abort_run(struct run *run)
{
    cancel_jobs(run);
    run->hangs = run->job_count > 0;
    struct lock *lock = NULL;
    cache_lock(run->cache, CANCEL_LOCK_MS, -1, &lock, NULL);
    for (struct addition *addition; (addition = run->oldest);) {
        addition_abandon(addition, lock);
        addition_finish(addition, PKGCACHE_FAILED, "%s", run->error.message);
    }
    lock_release(lock);
}

/* How many may wait to be flushed, by how many files may be open. */
static size_t flushing_max(void)
{
    struct rlimit limit = {.rlim_max = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    return MAX(MIN(limit.rlim_max / DESCRIPTORS_PER_FLUSHING, (rlim_t)FLUSHING_MAX), (rlim_t)1);
}

static int open_run(struct run *run)
{
    run->flushing_max = flushing_max();
    run->staging.fd = run->staging.owner_fd = -1;
    run->watch.inotify_fd = -1;
    run_init_queues(run);
    pthread_mutex_init(&run->lock, NULL);
    heartbeat_init(&run->heartbeat);
    run->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = run->event_fd < 0 ? -errno : roots_start(run->cache, on_checked, run, &run->roots);
    watch_open(&run->cache->self, &run->watch); /* without it, they are looked at now and then */
    if (result == 0)
        result = flusher_start(run->cache->fd, run->cache->options.durability, on_flushed, run,
                               &run->flusher);
    return result < 0 ? error_set(&run->error, -result, "cannot start: %s", strerror(-result)) : 0;
}

/* Frees all that are done, except those that the engine may still call back for. */
static void free_done(struct run *run)
{
    for (struct addition *addition; (addition = run->done);) {
        run->done = addition->newer;
        addition_free(addition);
        if (!addition->job)
            free(addition);
    }
}

int run_start(struct pkgcache *cache, const struct pkgcache_warm *warm, struct run **ret,
              struct pkgcache_error *ret_error)
{
    int result = cache_make_directories(cache, ret_error);
    if (result < 0)
        return result;
    staging_sweep(cache, cache_cancel_fd(warm->cancel_fd));
    struct run *run = calloc(1, sizeof(*run));
    if (!run)
        return error_set(ret_error, ENOMEM, "out of memory");
    run->cache = cache;
    run->warm = *warm;
    result = open_run(run);
    if (result < 0) {
        if (ret_error)
            *ret_error = run->error;
        run_end(run);
        return result;
    }
    *ret = run;
    return 0;
}

struct addition *run_add(struct run *run, const struct pkgcache_variant *variant,
                         const char *replaced, struct pkgcache_result *result)
{
    struct addition *addition = calloc(1, sizeof(*addition));
    if (!addition)
        return NULL;
    size_t index = run->added++;
    addition->run = run;
    addition->index = index;
    addition->variant = variant;
    addition->replaced = replaced;
    addition->result = result;
    addition->waiter.directory = -1;
    addition->manifest_fd = -1;
    snprintf(addition->tree_name, sizeof(addition->tree_name), "%zu.tree", index);
    snprintf(addition->sidecar_name, sizeof(addition->sidecar_name), "%zu.json", index);
    snprintf(addition->manifest_name, sizeof(addition->manifest_name), "%zu.manifest", index);
    run_link(run, addition);
    return addition;
}

/* Looks all new additions up: often there is nothing to copy. */
static void prepare_fresh(struct run *run)
{
    while (run->fresh && run->fatal == 0) {
        struct addition *addition = run->fresh;
        run->fresh = addition->newer;
        addition_prepare(addition);
        if (cache_is_cancelled(run->warm.cancel_fd))
            run_fail(run, error_set(&run->error, ECANCELED, "interrupted"));
    }
    if (run->checking_until_ns == 0)
        run->checking_until_ns = clock_monotonic_ns() + CHECKING_MS * NS_PER_MS;
}

/* Waits for events, and does what follows from them. */
static void take_turn(struct run *run)
{
    int result = wait_for_events(run, wait_timeout_ms(run));
    if (result < 0)
        run_fail(run, result);
    if (run->checking > 0)
        roots_tend(run->roots);
    beat_while_flushing(run);
    requeue_overdue(run);
    take_checked(run);
    take_copied(run);
    take_flushed(run);
    if (run->phase == RUN_CHECKING)
        stage_sidecars(run);
    run_keep_space(run);
    begin_more(run);
    report_progress(run);
}

int run_drive(struct run *run)
{
    if (run->fresh)
        prepare_fresh(run);
    if (run->unfinished > 0 && run->fatal == 0)
        take_turn(run);
    if (run->fatal < 0)
        abort_run(run);
    free_done(run);
    return run->fatal;
}

void run_wake(const struct run *run)
{
    eventfd_write(run->event_fd, 1);
}

void run_cancel(struct run *run, struct addition *addition)
{
    addition_cancel(addition);
    free_done(run);
}

void run_end(struct run *run)
{
    if (!run)
        return;
    if (run->copied_until_ns)
        stats_add(run->cache, STATS_COPY_NS, run->copied_until_ns - run->copying_since_ns);
    stats_flush(run->cache);
    flusher_stop(run->flusher);
    roots_stop(run->roots);
    watch_close(&run->watch);
    wait_queue_free(&run->wait_queue);
    free_done(run);
    if (run->hangs)
        return; /* the engine may still write there, and call back, one day */
    staging_close(&run->staging);
    heartbeat_destroy(&run->heartbeat);
    cleanup_close_fd(&run->event_fd);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

/* Variants that were not even added failed for the same reason as the run. */
static void fail_from(size_t first, const struct pkgcache_warm *warm,
                      struct pkgcache_result *results, const struct pkgcache_error *error)
{
    for (size_t i = first; i < warm->count; i++) {
        results[i].status = PKGCACHE_FAILED;
        results[i].reason = strdup(error->message);
    }
}

/* Feeds a run once, and drives it until each has its result, or the run fails. */
static int run_all(struct run *run, const struct warm_extras *extras,
                   struct pkgcache_result *results)
{
    const struct pkgcache_warm *warm = &run->warm;
    for (size_t i = 0; i < warm->count && run->fatal == 0; i++) {
        const char *replaced = extras->replaced ? extras->replaced[i] : NULL;
        struct addition *addition = run_add(run, &warm->variants[i], replaced, &results[i]);
        if (addition) {
            addition->reports_rootless = extras->reports_rootless;
            addition->own_links = extras->own_links;
            addition->supply = extras->supplies ? extras->supplies[i] : NULL;
            if (addition->supply)
                addition->supply->kind->expect(addition->supply);
        } else {
            run_fail(run, error_set(&run->error, ENOMEM, "out of memory"));
        }
    }
    int result;
    do
        result = run_drive(run);
    while (result == 0 && run->unfinished > 0);
    fail_from(run->added, warm, results, &run->error);
    return result;
}

int warm_with(struct pkgcache *cache, const struct pkgcache_warm *warm,
              const struct warm_extras *extras, struct pkgcache_result *results,
              struct pkgcache_error *ret_error)
{
    struct pkgcache_error error = {0};
    struct pkgcache_warm known;
    struct elements elements;
    struct run *run = NULL;
    if (take_struct(&known, sizeof(known), warm) < 0)
        return error_struct_size(ret_error, "warm", "pkgcache_warm");
    known.cancel_fd = cache_cancel_fd(known.cancel_fd);
    int result = elements_take(&known, results, &elements, ret_error);
    if (result < 0)
        return result;
    result = run_start(cache, &known, &run, &error);
    if (!run) {
        fail_from(0, &known, elements.results, &error);
    } else {
        result = run_all(run, extras, elements.results);
        error = run->error;
        run_end(run);
    }
    elements_give(&elements, &known, results);
    if (ret_error && result < 0)
        *ret_error = error;
    return result;
}

int pkgcache_warm(struct pkgcache *cache, const struct pkgcache_warm *warm,
                  struct pkgcache_result *results, struct pkgcache_error *ret_error)
{
    const struct warm_extras none = {0};
    return warm_with(cache, warm, &none, results, ret_error);
}
