/* The engine: starts and ends its threads, takes jobs in. What they do is in schedule.c. */
#include "engine/engine.h"

#include "engine/compiler.h"
#include "engine/copy.h"
#include "engine/job.h"
#include "engine/processors.h"
#include "engine/remove.h"
#include "engine/scan.h"
#include "engine/supply.h"
#include "engine/thread.h"
#include "engine/walk.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

enum {
    TRANSFERS_OF_RING = 256,   /* in flight on one thread, at most */
    IN_FLIGHT_MAX = 512,       /* on all, at most */
    IN_FLIGHT_FIRST = 48,      /* of a processor, to begin with: right for a server a millisecond
                                  away. Threads for more would take longer to start than they save */
    IN_FLIGHT_FIRST_MAX = 128, /* of all */
    WORKERS_TUNED_MIN = 5,     /* fewer processors are always worth their thread each */
    /* A batch, or a file, keeps two, and two of each directory above it that no other keeps; the
     * rest is for our caller. */
    DESCRIPTORS_PER_BATCH = 16,
    DESCRIPTORS_PER_FILE = 16,
    DESCRIPTORS_PER_LEVEL = 16, /* of a removal; there are several at once, each with two readers */
    REMOVAL_DEPTH_MAX = 64,
    BATCHES_MAX = 1024,
    DESCRIPTORS_READY = 1024, /* what copies keep open as a rule */
};

static void *reader_main(void *argument)
{
    struct copyengine *engine = argument;
    const struct engine_thread_settings *thread = &engine->workers.thread;
    struct io_buffers no_buffers = {0};
    struct io_port port = {.backend = engine->workers.backend};
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    bool one_is_left = engine_thread_enter(thread);
    if (port.backend->create(1, &no_buffers, &port.io) < 0) /* it only makes plain calls */
        port = (struct io_port){.backend = &io_threads_backend};
    schedule_enter_reader(&engine->schedule);
    for (struct directory *directory; (directory = schedule_take_directory(&engine->schedule));) {
        engine_thread_choose_processors(thread, &one_is_left);
        walk_read(&port, directory, buffer);
    }
    if (port.io)
        port.backend->destroy(port.io);
    return NULL;
}

static int start_worker(void *context, unsigned number, struct seat **ret)
{
    struct copyengine *engine = context;
    return worker_start(&engine->workers, number, ret);
}

static int start_reader(void *context, unsigned number)
{
    struct copyengine *engine = context;
    return -thread_start_with_stack(&engine->readers[number], THREAD_SMALL_STACK_BYTES, reader_main,
                                    engine);
}

static const struct schedule_threads engine_threads = {
    .start_worker = start_worker,
    .start_reader = start_reader,
};

/* Raises the limit of open files to what the system allows; returns what it is now. */
static unsigned long raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

/*
 * Makes room for descriptors while there is but one thread. Later the kernel waits for all
 * processors whenever their table grows (expand_fdtable in fs/file.c): ten milliseconds each time.
 */
static void make_room_for_descriptors(unsigned long limit)
{
    CLEANUP_CLOSE int fd = open("/", O_PATH | O_CLOEXEC);
    CLEANUP_CLOSE int last = fcntl(fd, F_DUPFD_CLOEXEC, (int)MIN(limit, DESCRIPTORS_READY) - 1);
    (void)last;
}

/* Returns 0, or -errno: the ring was demanded, and there is none. */
static int choose_backend(struct copyengine *engine, enum copyengine_backend asked,
                          const char **ret_why)
{
    size_t size = sizeof(engine->backend_description);
    char reason[64];
    *ret_why = NULL;
    int result = asked == COPYENGINE_THREADS ? -ECANCELED : io_ring_probe(ret_why);
    if (result < 0 && asked == COPYENGINE_RING)
        return result;
    if (result == 0) {
        engine->workers.backend = &io_ring_backend;
        snprintf(engine->backend_description, size, "ring (%s)",
                 asked == COPYENGINE_RING ? "as asked for" : "io_uring works here");
    } else {
        engine->workers.backend = &io_threads_backend;
        if (asked == COPYENGINE_THREADS)
            snprintf(engine->backend_description, size, "threads (as asked for)");
        else
            snprintf(engine->backend_description, size, "threads (%s: %s)", *ret_why,
                     strerror_r(-result, reason, sizeof(reason)));
    }
    return 0;
}

/* How much may be under way: what is asked for, and what descriptors and processors allow. */
static void set_bounds(struct copyengine *engine, unsigned in_flight)
{
    struct schedule *schedule = &engine->schedule;
    unsigned long descriptors = raise_descriptor_limit();
    make_room_for_descriptors(descriptors);
    unsigned processors =
        MIN(processors_find(&engine->workers.thread.processor_set), (unsigned)WORKERS_MAX / 2);
    schedule->batches_max =
        (unsigned)MIN(MAX(descriptors / DESCRIPTORS_PER_BATCH, 2UL), (unsigned long)BATCHES_MAX);
    unsigned most = (unsigned)MIN(MAX(descriptors / DESCRIPTORS_PER_FILE, 1UL),
                                  (unsigned long)(in_flight ? in_flight : IN_FLIGHT_MAX));
    engine->common.removal_depth_max = (unsigned)MIN(MAX(descriptors / DESCRIPTORS_PER_LEVEL, 1UL),
                                                     (unsigned long)REMOVAL_DEPTH_MAX);
    processors = MIN(processors, most);
    unsigned first = MIN(IN_FLIGHT_FIRST * processors, (unsigned)IN_FLIGHT_FIRST_MAX);
    unsigned least = MIN(IO_TOGETHER * processors, IN_FLIGHT_FIRST_MAX / 2U);
    if (in_flight)
        first = least = most;
    tuner_init(&schedule->in_flight_tuner, MIN(MAX(first, processors), most),
               MIN(MAX(least, processors), most), most);
    unsigned workers_min = processors < WORKERS_TUNED_MIN || in_flight ? processors : 2;
    tuner_init(&schedule->workers_tuner, processors, workers_min, processors);
    assert(processors >= 1 && processors <= most);
    schedule->processors = processors;
    /* One more than may run: another goes on while one is delayed by a bandwidth cap. */
    engine->workers.transfers_in_ring = MIN(most / processors + 1, (unsigned)TRANSFERS_OF_RING);
}

/* @param threads NULL: none but the caller's */
static struct copyengine *engine_allocate(const struct copyengine_options *options,
                                          const struct schedule_threads *threads)
{
    struct copyengine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return NULL;
    struct engine_common *common = &engine->common;
    limit_init(&common->limit, options->bytes_per_s);
    devices_init(&common->devices);
    common->schedule = &engine->schedule;
    common->canceller = &engine->canceller;
    common->on_cancelled = canceller_watch;
    canceller_init(&engine->canceller);
    schedule_init(&engine->schedule, threads, engine);
    set_bounds(engine, options->in_flight);
    engine->workers.schedule = &engine->schedule;
    engine->workers.thread.idle_priority = options->idle_priority;
    engine->workers.thread.modes_masked = &common->modes_masked;
    return engine;
}

static void engine_destroy(struct copyengine *engine)
{
    schedule_destroy(&engine->schedule);
    canceller_destroy(&engine->canceller);
    limit_destroy(&engine->common.limit);
    devices_destroy(&engine->common.devices);
    free(engine);
}

int engine_new(const struct copyengine_options *options, const struct io_backend *backend,
               struct copyengine **ret, struct copyengine_error *ret_error)
{
    const char *why = NULL;
    struct copyengine_options known = {0};
    struct copyengine *engine = NULL;
    int result = options ? take_struct(&known, sizeof(known), options) : 0;
    if (result == 0) {
        engine = engine_allocate(&known, &engine_threads);
        result = engine ? 0 : -ENOMEM;
    }
    if (engine) {
        engine->workers.backend = backend;
        engine->workers.blocking_backend = backend ? backend : &io_threads_backend;
        result = backend ? 0 : choose_backend(engine, known.backend, &why);
    }
    if (result == 0) {
        struct schedule *schedule = &engine->schedule;
        schedule->queues = engine->workers.backend->queues;
        pthread_mutex_lock(&schedule->lock);
        result = schedule_start_threads(schedule, schedule->processors, 1);
        pthread_mutex_unlock(&schedule->lock);
    }
    if (ret_error) /* also when nothing went wrong: whatever was in it, it can be cleared */
        *ret_error = result < 0 ? (struct copyengine_error){.code = -result,
                                                            .operation = "start the engine",
                                                            .explanation = why}
                                : (struct copyengine_error){0};
    if (result == 0)
        *ret = engine;
    else
        copyengine_free(engine);
    return result;
}

int copyengine_new(const struct copyengine_options *options, struct copyengine **ret,
                   struct copyengine_error *ret_error)
{
    return engine_new(options, NULL, ret, ret_error);
}

/* Threads that hang in a server that does not answer go on to use the engine: it is not freed. */
static void leave_threads_behind(struct copyengine *engine)
{
    for (unsigned i = 0; i < engine->schedule.reader_count; i++)
        pthread_detach(engine->readers[i]);
    for (unsigned i = 0; i < engine->schedule.seat_count; i++)
        worker_leave_behind(engine->schedule.seats[i]);
}

void copyengine_free(struct copyengine *engine)
{
    if (!engine)
        return;
    bool hangs = schedule_stop(&engine->schedule);
    canceller_stop(&engine->canceller);
    if (hangs) {
        leave_threads_behind(engine);
        return;
    }
    for (unsigned i = 0; i < engine->schedule.reader_count; i++)
        pthread_join(engine->readers[i], NULL);
    for (unsigned i = 0; i < engine->schedule.seat_count; i++)
        worker_stop(engine->schedule.seats[i]);
    engine_destroy(engine);
}

int copyengine_version(void)
{
    return COPYENGINE_VERSION;
}

const char *copyengine_backend_description(const struct copyengine *engine)
{
    return engine->backend_description;
}

int copyengine_submit_copy(struct copyengine *engine, const struct copyengine_copy *copy,
                           struct copyengine_job **ret)
{
    return copy_submit(&engine->common, copy, ret);
}

int copyengine_submit_removal(struct copyengine *engine, const struct copyengine_removal *removal,
                              struct copyengine_job **ret)
{
    return remove_submit(&engine->common, removal, ret);
}

int copyengine_submit_scan(struct copyengine *engine, const struct copyengine_scan *scan,
                           struct copyengine_job **ret)
{
    return scan_submit(&engine->common, scan, ret);
}

int copyengine_submit_supply(struct copyengine *engine, const struct copyengine_supply *supply,
                             struct copyengine_job **ret)
{
    return supply_submit(&engine->common, supply, ret);
}

/* Removes a tree without any thread but the caller's. *ret: the job, which is done. */
static int remove_alone(const struct copyengine_removal *removal, struct copyengine_job **ret)
{
    struct copyengine *engine = engine_allocate(&(struct copyengine_options){0}, NULL);
    struct io_port port = {.backend = &io_threads_backend};
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    if (!engine)
        return -ENOMEM;
    int result = copyengine_submit_removal(engine, removal, ret);
    while (result == 0 && engine->schedule.jobs)
        walk_read(&port, schedule_take_directory(&engine->schedule), buffer);
    engine_destroy(engine);
    return result;
}

/* Waits for the job of a call that has none, frees it, and gives its error to the caller. */
static int end_job(struct copyengine_job *job, struct copyengine_error *ret_error)
{
    const struct copyengine_error *error = &copyengine_wait(job)->error;
    int result = -error->code;
    if (ret_error)
        copyengine_error_copy(error, ret_error);
    copyengine_job_free(job);
    return result;
}

/* There is no job. Gives the caller an error that says why, and returns it. */
static int refuse_job(int result, const char *operation, const char *path,
                      struct copyengine_error *ret_error)
{
    struct copyengine_error error = {.code = -result, .operation = operation, .path = path};
    if (ret_error)
        copyengine_error_copy(&error, ret_error);
    return result;
}

int copyengine_copy_tree(struct copyengine *engine, const struct copyengine_copy *copy,
                         struct copyengine_error *ret_error)
{
    struct copyengine_job *job;
    int result = copyengine_submit_copy(engine, copy, &job);
    return result < 0 ? refuse_job(result, "copy", NULL, ret_error) : end_job(job, ret_error);
}

int copyengine_remove_tree(struct copyengine *engine, int dirfd, const char *path,
                           struct copyengine_error *ret_error)
{
    struct copyengine_removal removal = {.size = sizeof(removal), .dirfd = dirfd, .path = path};
    struct copyengine_job *job;
    int result =
        engine ? copyengine_submit_removal(engine, &removal, &job) : remove_alone(&removal, &job);
    return result < 0 ? refuse_job(result, "remove", path, ret_error) : end_job(job, ret_error);
}
