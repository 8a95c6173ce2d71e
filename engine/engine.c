/* The engine: starts and ends its threads, takes jobs in. What they do is in schedule.c. */
#include "engine/engine.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/thread.h"
#include "engine/walk.h"
#include "engine/worker.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    TRANSFERS_OF_RING = 256, /* in flight on one thread, at most */
    WAITING_MAX = 512,       /* in flight on all, at most */
    WAITING_FIRST = 48,      /* of a processor, to begin with: right for a server a millisecond
                                away. Threads for more would take longer to start than they save */
    WAITING_FIRST_MAX = 128, /* of all */
    RUNNING_TUNED_MIN = 5,   /* fewer processors are always worth their thread each */
    /* A batch, or a file, keeps two, and two of each directory above it that no other keeps; the
     * rest is for our caller. */
    DESCRIPTORS_PER_BATCH = 16,
    DESCRIPTORS_PER_FILE = 16,
    BATCHES_MAX = 1024,
    DESCRIPTORS_READY = 1024, /* what copies keep open as a rule */
    COUNTS_PER_LOOK = 16,     /* completions between two looks at the clock */
};

static atomic_bool leaves_processor; /* all engines */

void copyengine_leave_processor(bool leave)
{
    atomic_store_explicit(&leaves_processor, leave, memory_order_relaxed);
}

void engine_choose_processors(const struct copyengine *engine, bool *one_is_left)
{
    processors_use(&engine->processor_set,
                   atomic_load_explicit(&leaves_processor, memory_order_relaxed), one_is_left);
}

bool engine_enter_thread(struct copyengine *engine)
{
    /* A umask of its own lets open(2) give files their final mode. Refused in some containers. */
    if (unshare(CLONE_FS) == 0)
        umask(0);
    else
        atomic_store(&engine->modes_masked, true);
    if (engine->options.idle_priority)
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
    return processors_one_is_left(&engine->processor_set);
}

static void *reader_main(void *argument)
{
    struct copyengine *engine = argument;
    struct io_buffers no_buffers = {0};
    struct io_port port = {.backend = engine->backend};
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    bool one_is_left = engine_enter_thread(engine);
    if (port.backend->create(1, &no_buffers, &port.io) < 0) /* it only makes plain calls */
        port = (struct io_port){.backend = &io_threads_backend};
    pthread_mutex_lock(&engine->lock);
    engine->readers_starting--;
    pthread_mutex_unlock(&engine->lock);
    for (struct directory *directory; (directory = schedule_take_directory(engine));) {
        engine_choose_processors(engine, &one_is_left);
        walk_read(engine, &port, directory, buffer);
    }
    if (port.io)
        port.backend->destroy(port.io);
    return NULL;
}

int engine_start_threads(struct copyengine *engine, unsigned workers, unsigned readers)
{
    int result = engine->alone ? -EAGAIN : 0;
    workers = MIN(workers, (unsigned)WORKERS_MAX);
    readers = MIN(readers, (unsigned)READERS_MAX);
    while (result == 0 && engine->worker_count < workers) {
        result = worker_start(engine, engine->worker_count, &engine->workers[engine->worker_count]);
        engine->worker_count += result == 0;
    }
    while (result == 0 && engine->reader_count < readers) {
        result = -thread_start_with_stack(&engine->readers[engine->reader_count],
                                          THREAD_SMALL_STACK_BYTES, reader_main, engine);
        engine->reader_count += result == 0;
        engine->readers_starting += result == 0;
    }
    return result;
}

void engine_count(struct copyengine *engine)
{
    unsigned long long completed =
        atomic_fetch_add_explicit(&engine->completed, 1, memory_order_relaxed) + 1;
    if (completed % COUNTS_PER_LOOK != 0)
        return;
    uint64_t now_ns = clock_monotonic_ns();
    tuner_look(&engine->waiting, now_ns, completed);
    tuner_look(&engine->running, now_ns, completed);
}

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

static int choose_backend(struct copyengine *engine, const char **ret_why)
{
    size_t size = sizeof(engine->backend_description);
    char reason[64];
    *ret_why = NULL;
    int result =
        engine->options.backend == COPYENGINE_THREADS ? -ECANCELED : io_ring_probe(ret_why);
    if (result < 0 && engine->options.backend == COPYENGINE_RING)
        return result;
    if (result == 0) {
        engine->backend = &io_ring_backend;
        snprintf(engine->backend_description, size, "ring (%s)",
                 engine->options.backend == COPYENGINE_RING ? "as asked for"
                                                            : "io_uring works here");
    } else {
        engine->backend = &io_threads_backend;
        if (engine->options.backend == COPYENGINE_THREADS)
            snprintf(engine->backend_description, size, "threads (as asked for)");
        else
            snprintf(engine->backend_description, size, "threads (%s: %s)", *ret_why,
                     strerror_r(-result, reason, sizeof(reason)));
    }
    return 0;
}

static void set_bounds(struct copyengine *engine)
{
    unsigned in_flight = engine->options.in_flight;
    unsigned long descriptors = raise_descriptor_limit();
    make_room_for_descriptors(descriptors);
    engine->processors = MIN(processors_find(&engine->processor_set), (unsigned)WORKERS_MAX / 2);
    engine->batches_max =
        (unsigned)MIN(MAX(descriptors / DESCRIPTORS_PER_BATCH, 2UL), (unsigned long)BATCHES_MAX);
    unsigned most = (unsigned)MIN(MAX(descriptors / DESCRIPTORS_PER_FILE, 1UL),
                                  (unsigned long)(in_flight ? in_flight : WAITING_MAX));
    engine->processors = MIN(engine->processors, most);
    unsigned first = MIN(WAITING_FIRST * engine->processors, (unsigned)WAITING_FIRST_MAX);
    unsigned least = MIN(IO_TOGETHER * engine->processors, WAITING_FIRST_MAX / 2U);
    if (in_flight)
        first = least = most;
    tuner_init(&engine->waiting, MIN(MAX(first, engine->processors), most),
               MIN(MAX(least, engine->processors), most), most);
    unsigned running_min =
        engine->processors < RUNNING_TUNED_MIN || in_flight ? engine->processors : 2;
    tuner_init(&engine->running, engine->processors, running_min, engine->processors);
    /* One more than may run: another goes on while one waits for its bandwidth. */
    engine->transfers_in_ring = MIN(most / engine->processors + 1, (unsigned)TRANSFERS_OF_RING);
}

static void init(struct copyengine *engine)
{
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->reader_wake, NULL);
    limit_init(&engine->limit, engine->options.bytes_per_s);
    devices_init(&engine->devices);
}

/* What init and set_bounds made. */
static void destroy(struct copyengine *engine)
{
    limit_destroy(&engine->limit);
    devices_destroy(&engine->devices);
    tuner_destroy(&engine->waiting);
    tuner_destroy(&engine->running);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->reader_wake);
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
        engine = calloc(1, sizeof(*engine));
        result = engine ? 0 : -ENOMEM;
    }
    if (engine) {
        engine->options = known;
        init(engine);
        engine->backend = backend;
        engine->waiting_backend = backend ? backend : &io_threads_backend;
        result = backend ? 0 : choose_backend(engine, &why);
    }
    if (result == 0) {
        set_bounds(engine);
        pthread_mutex_lock(&engine->lock);
        result = engine_start_threads(engine, engine->processors, 1);
        pthread_mutex_unlock(&engine->lock);
    }
    if (result == 0) {
        *ret = engine;
        return 0;
    }
    if (ret_error)
        *ret_error = (struct copyengine_error){
            .code = -result, .operation = "start the engine", .explanation = why};
    copyengine_free(engine);
    return result;
}

int copyengine_new(const struct copyengine_options *options, struct copyengine **ret,
                   struct copyengine_error *ret_error)
{
    return engine_new(options, NULL, ret, ret_error);
}

/* Threads that hang in a server that does not answer go on to use the engine: it is not freed. */
static void leave_behind(struct copyengine *engine)
{
    for (unsigned i = 0; i < engine->reader_count; i++)
        pthread_detach(engine->readers[i]);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_leave_behind(engine->workers[i]);
}

void copyengine_free(struct copyengine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    bool hangs = engine->jobs;
    engine->stopping = true;
    pthread_cond_broadcast(&engine->reader_wake);
    pthread_mutex_unlock(&engine->lock);
    cancel_stop(engine);
    if (hangs) {
        leave_behind(engine);
        return;
    }
    for (unsigned i = 0; i < engine->reader_count; i++)
        pthread_join(engine->readers[i], NULL);
    for (unsigned i = 0; i < engine->worker_count; i++)
        worker_stop(engine->workers[i]);
    destroy(engine);
}

int copyengine_version(void)
{
    return COPYENGINE_VERSION;
}

const char *copyengine_backend_description(const struct copyengine *engine)
{
    return engine->backend_description;
}

/* Hands a new job to the threads. */
static int submit(struct copyengine *engine, struct copyengine_job *job,
                  struct copyengine_job **ret)
{
    struct directory *root = directory_new(job, NULL, "");
    if (!root) {
        copyengine_job_free(job);
        return -ENOMEM;
    }
    *ret = job;
    job->references++;
    pthread_mutex_lock(&engine->lock);
    job->next = engine->jobs;
    engine->jobs = job;
    engine->job_count++;
    pthread_mutex_unlock(&engine->lock);
    schedule_add_root(engine, job, root);
    return 0;
}

int copyengine_submit(struct copyengine *engine, const struct copyengine_copy *copy,
                      struct copyengine_job **ret)
{
    struct copyengine_job *job;
    int result = job_new_copy(engine, copy, &job);
    return result < 0 ? result : submit(engine, job, ret);
}

int copyengine_submit_removal(struct copyengine *engine, const struct copyengine_removal *removal,
                              struct copyengine_job **ret)
{
    struct copyengine_job *job;
    int result = job_new_removal(engine, removal, &job);
    return result < 0 ? result : submit(engine, job, ret);
}

int copyengine_submit_scan(struct copyengine *engine, const struct copyengine_scan *scan,
                           struct copyengine_job **ret)
{
    struct copyengine_job *job;
    int result = job_new_scan(engine, scan, &job);
    return result < 0 ? result : submit(engine, job, ret);
}

int engine_remove_alone(const struct copyengine_removal *removal, struct copyengine_job **ret)
{
    struct copyengine *engine = calloc(1, sizeof(*engine));
    struct io_port port = {.backend = &io_threads_backend};
    _Alignas(struct dirent64) char buffer[WALK_BUFFER_BYTES];
    if (!engine)
        return -ENOMEM;
    engine->alone = true;
    engine->backend = port.backend;
    init(engine);
    set_bounds(engine);
    int result = copyengine_submit_removal(engine, removal, ret);
    while (result == 0 && engine->jobs)
        walk_read(engine, &port, schedule_take_directory(engine), buffer);
    destroy(engine);
    return result;
}

void engine_remove_job(struct copyengine *engine, struct copyengine_job *job)
{
    pthread_mutex_lock(&engine->lock);
    struct copyengine_job **link = &engine->jobs;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    engine->job_count--;
    pthread_mutex_unlock(&engine->lock);
}
