/* Things that take their time, one after the other. */
#include "cache/service/errands.h"

#include "cache/error.h"
#include "engine/thread.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

enum { STOP_WAIT_S = 1 };

struct errands {
    char *path;
    struct pkgcache *cache; /* the thread's; NULL: to be opened */
    int wake_fd;
    int stop_fd;
    pthread_t thread;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;
    struct pkgcache_options options;
    bool reload;
    bool stopping;
    size_t count; /* that wait */
    struct errand *waiting;
    struct errand **waiting_last;
    struct errand *done;
    struct errand **done_last;
};

static int open_cache(struct errands *errands, struct pkgcache_error *error)
{
    pthread_mutex_lock(&errands->lock);
    struct pkgcache_options options = errands->options;
    bool reload = errands->reload;
    errands->reload = false;
    pthread_mutex_unlock(&errands->lock);
    if (reload) {
        pkgcache_close(errands->cache);
        errands->cache = NULL;
    }
    return errands->cache ? 0
                          : pkgcache_open(errands->path, &options, false, &errands->cache, error);
}

static void run_one(struct errands *errands, struct errand *errand, bool cancelled)
{
    struct pkgcache_error error = {0};
    struct pkgcache *cache = NULL;
    if (cancelled)
        error_set(&error, ECANCELED, "the daemon is stopping");
    else if (open_cache(errands, &error) == 0)
        cache = errands->cache;
    errand->run(errand, cache, &error);
    pthread_mutex_lock(&errands->lock);
    errand->next = NULL;
    *errands->done_last = errand;
    errands->done_last = &errand->next;
    pthread_mutex_unlock(&errands->lock);
    eventfd_write(errands->wake_fd, 1);
}

static void *errands_main(void *argument)
{
    struct errands *errands = argument;
    pthread_mutex_lock(&errands->lock);
    while (!errands->stopping || errands->waiting) {
        struct errand *errand = errands->waiting;
        if (!errand) {
            pthread_cond_wait(&errands->wake, &errands->lock);
            continue;
        }
        errands->waiting = errand->next;
        if (!errands->waiting)
            errands->waiting_last = &errands->waiting;
        errands->count--;
        bool cancelled = errands->stopping;
        pthread_mutex_unlock(&errands->lock);
        run_one(errands, errand, cancelled);
        pthread_mutex_lock(&errands->lock);
    }
    pthread_mutex_unlock(&errands->lock);
    pkgcache_close(errands->cache);
    return NULL;
}

int errands_start(const char *path, const struct pkgcache_options *options, int wake_fd,
                  struct errands **ret, struct pkgcache_error *ret_error)
{
    struct errands *errands = calloc(1, sizeof(*errands));
    if (!errands)
        return error_set(ret_error, ENOMEM, "out of memory");
    *errands = (struct errands){
        .path = strdup(path),
        .wake_fd = wake_fd,
        .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .options = *options,
        .waiting_last = &errands->waiting,
        .done_last = &errands->done,
    };
    pthread_mutex_init(&errands->lock, NULL);
    pthread_cond_init(&errands->wake, NULL);
    int code = !errands->path          ? ENOMEM
               : errands->stop_fd <= 0 ? errno
                                       : thread_start(&errands->thread, errands_main, errands);
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

void errands_reload(struct errands *errands, const struct pkgcache_options *options)
{
    pthread_mutex_lock(&errands->lock);
    errands->options = *options;
    errands->reload = true;
    pthread_mutex_unlock(&errands->lock);
}

int errands_stop_fd(const struct errands *errands)
{
    return errands->stop_fd;
}

bool errands_stop(struct errands *errands)
{
    struct timespec until;
    pthread_mutex_lock(&errands->lock);
    errands->stopping = true;
    pthread_cond_signal(&errands->wake);
    pthread_mutex_unlock(&errands->lock);
    eventfd_write(errands->stop_fd, 1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    return pthread_timedjoin_np(errands->thread, NULL, &until) == 0;
}

void errands_free(struct errands *errands)
{
    if (!errands)
        return;
    cleanup_close_fd(&errands->stop_fd);
    pthread_mutex_destroy(&errands->lock);
    pthread_cond_destroy(&errands->wake);
    free(errands->path);
    free(errands);
}
