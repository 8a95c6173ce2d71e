/* Things that take their time, one after the other. */
#include "cache/service/errands.h"

#include "cache/util/error.h"
#include "engine/thread.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

/* One of the threads. */
struct worker {
    struct errands *errands;
    pthread_t thread;
    struct pkgcache *cache; /* NULL: to be opened */
    unsigned reloads;       /* as many as there were then */
};

struct errands {
    char *path;
    int wake_fd;
    int stop_fd;
    struct worker workers[ERRANDS_THREADS_MAX];
    unsigned count_of_workers;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;
    struct shared_options *options;
    unsigned reloads;
    bool stopping;
    size_t count; /* that wait */
    struct errand *waiting;
    struct errand **waiting_last;
    struct errand *done;
    struct errand **done_last;
};

static int open_cache(struct worker *worker, struct pkgcache_error *error)
{
    struct errands *errands = worker->errands;
    pthread_mutex_lock(&errands->lock);
    struct shared_options *options = shared_options_hold(errands->options);
    bool reload = worker->reloads != errands->reloads;
    worker->reloads = errands->reloads;
    pthread_mutex_unlock(&errands->lock);
    if (reload) {
        pkgcache_close(worker->cache);
        worker->cache = NULL;
    }
    int result = 0;
    if (!worker->cache)
        result = pkgcache_open(errands->path, &options->options, false, &worker->cache, error);
    shared_options_release(options);
    return result;
}

static void return_errand(struct errands *errands, struct errand *errand)
{
    pthread_mutex_lock(&errands->lock);
    errand->next = NULL;
    *errands->done_last = errand;
    errands->done_last = &errand->next;
    pthread_mutex_unlock(&errands->lock);
    eventfd_write(errands->wake_fd, 1);
}

static void run_errand(struct worker *worker, struct errand *errand)
{
    struct pkgcache_error error = {0};
    bool opened = open_cache(worker, &error) == 0;
    errand->run(errand, opened ? worker->cache : NULL, &error);
    return_errand(worker->errands, errand);
}

static void *errands_main(void *argument)
{
    struct worker *worker = argument;
    struct errands *errands = worker->errands;
    pthread_mutex_lock(&errands->lock);
    while (!errands->stopping) {
        struct errand *errand = errands->waiting;
        if (!errand) {
            pthread_cond_wait(&errands->wake, &errands->lock);
            continue;
        }
        errands->waiting = errand->next;
        if (!errands->waiting)
            errands->waiting_last = &errands->waiting;
        errands->count--;
        pthread_mutex_unlock(&errands->lock);
        run_errand(worker, errand);
        pthread_mutex_lock(&errands->lock);
    }
    pthread_mutex_unlock(&errands->lock);
    pkgcache_close(worker->cache);
    return NULL;
}

/* Starts the threads, or as many as there can be. Returns 0, or an errno value: there is none. */
static int start_workers(struct errands *errands, unsigned threads)
{
    int code = 0;
    for (unsigned i = 0; i < threads && code == 0; i++) {
        struct worker *worker = &errands->workers[i];
        worker->errands = errands;
        code = thread_start(&worker->thread, errands_main, worker);
        errands->count_of_workers += code == 0;
    }
    return errands->count_of_workers > 0 ? 0 : code;
}

int errands_start(const char *path, struct shared_options *options, unsigned threads, int wake_fd,
                  struct errands **ret, struct pkgcache_error *ret_error)
{
    struct errands *errands = calloc(1, sizeof(*errands));
    if (!errands)
        return error_set(ret_error, ENOMEM, "out of memory");
    *errands = (struct errands){
        .path = strdup(path),
        .wake_fd = wake_fd,
        .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .options = shared_options_hold(options),
        .waiting_last = &errands->waiting,
        .done_last = &errands->done,
    };
    pthread_mutex_init(&errands->lock, NULL);
    pthread_cond_init(&errands->wake, NULL);
    int code = !errands->path          ? ENOMEM
               : errands->stop_fd <= 0 ? errno
                                       : start_workers(errands, threads);
    if (code) {
        errands_free(errands);
        return error_set(ret_error, code, "cannot start a thread: %s", strerror(code));
    }
    *ret = errands;
    return 0;
}

int errands_add(struct errands *errands, struct errand *errand)
{
    pthread_mutex_lock(&errands->lock);
    int result = errands->stopping ? -ECANCELED : errands->count >= ERRANDS_MAX ? -EBUSY : 0;
    if (result == 0) {
        errand->next = NULL;
        *errands->waiting_last = errand;
        errands->waiting_last = &errand->next;
        errands->count++;
        pthread_cond_signal(&errands->wake);
    }
    pthread_mutex_unlock(&errands->lock);
    return result;
}

struct errand *errands_take_done(struct errands *errands)
{
    pthread_mutex_lock(&errands->lock);
    struct errand *done = errands->done;
    errands->done = NULL;
    errands->done_last = &errands->done;
    pthread_mutex_unlock(&errands->lock);
    return done;
}

void errands_reload(struct errands *errands, struct shared_options *options)
{
    pthread_mutex_lock(&errands->lock);
    shared_options_replace(&errands->options, options);
    errands->reloads++;
    pthread_mutex_unlock(&errands->lock);
}

int errands_stop_fd(const struct errands *errands)
{
    return errands->stop_fd;
}

void errands_stop(struct errands *errands)
{
    struct pkgcache_error error = {0};
    pthread_mutex_lock(&errands->lock);
    errands->stopping = true;
    struct errand *errand = STEAL(errands->waiting); /* the threads may hang */
    pthread_cond_broadcast(&errands->wake);
    pthread_mutex_unlock(&errands->lock);
    eventfd_write(errands->stop_fd, 1);
    error_set(&error, ECANCELED, "the daemon is stopping");
    for (struct errand *next; errand; errand = next) {
        next = errand->next;
        errand->run(errand, NULL, &error);
        return_errand(errands, errand);
    }
}

bool errands_join(struct errands *errands, const struct timespec *until)
{
    bool ended = true;
    for (unsigned i = 0; i < errands->count_of_workers; i++)
        ended = pthread_timedjoin_np(errands->workers[i].thread, NULL, until) == 0 && ended;
    return ended;
}

void errands_free(struct errands *errands)
{
    if (!errands)
        return;
    cleanup_close_fd(&errands->stop_fd);
    pthread_mutex_destroy(&errands->lock);
    pthread_cond_destroy(&errands->wake);
    shared_options_release(errands->options);
    free(errands->path);
    free(errands);
}
