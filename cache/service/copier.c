/* The thread that copies. Whoever adds only touches lists under the lock; the run is the thread's.
 */
#include "cache/service/copier.h"

#include "cache/service/precedence.h"
#include "cache/warm/run.h"

#include "engine/thread.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

struct copier {
    char *path;
    struct pkgcache *cache; /* the thread's; NULL: to be opened */
    int wake_fd;
    int stop_fd; /* readable: roll back */
    pthread_t thread;
    struct copy *oldest; /* of those under way */
    struct copy *newest;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t wake;
    struct shared_options *options;
    bool reload;
    bool stopping;
    bool cancels;    /* some of those under way are cancelled */
    struct run *run; /* NULL: there is nothing to do */
    struct copy *added;
    struct copy **added_last;
    struct copy *done;
    struct copy **done_last;
};

static void publish_progress(struct copy *copy)
{
    static const enum copy_state states[] = {
        [STAGE_CHECKING] = COPY_CHECKING, [STAGE_NEW] = COPY_QUEUED,
        [STAGE_WAITING] = COPY_WAITING,   [STAGE_COPYING] = COPY_COPYING,
        [STAGE_FLUSHING] = COPY_FLUSHING, [STAGE_DONE] = COPY_FLUSHING,
    };
    const struct addition *addition = copy->addition;
    struct copyengine_progress progress = {
        .size = sizeof(progress), .files = copy->result.files, .bytes = copy->result.bytes};
    if (addition->job)
        copyengine_job_progress(addition->job, &progress);
    atomic_store_explicit(&copy->state, states[addition->stage], memory_order_relaxed);
    atomic_store_explicit(&copy->files, progress.files, memory_order_relaxed);
    atomic_store_explicit(&copy->bytes, progress.bytes, memory_order_relaxed);
}

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    const struct copier *copier = context;
    (void)progress;
    for (struct copy *copy = copier->oldest; copy; copy = copy->newer)
        publish_progress(copy);
    return 0;
}

static void link_copy(struct copier *copier, struct copy *copy)
{
    copy->newer = NULL;
    copy->older = copier->newest;
    *(copier->newest ? &copier->newest->newer : &copier->oldest) = copy;
    copier->newest = copy;
}

static void unlink_copy(struct copier *copier, const struct copy *copy)
{
    *(copy->older ? &copy->older->newer : &copier->oldest) = copy->newer;
    *(copy->newer ? &copy->newer->older : &copier->newest) = copy->older;
}

static void return_copy(struct copier *copier, struct copy *copy)
{
    atomic_store(&copy->files, copy->result.files);
    atomic_store(&copy->bytes, copy->result.bytes);
    pthread_mutex_lock(&copier->lock);
    copy->next = NULL;
    *copier->done_last = copy;
    copier->done_last = &copy->next;
    pthread_mutex_unlock(&copier->lock);
    eventfd_write(copier->wake_fd, 1);
}

static void fail_copy(struct copier *copier, struct copy *copy, const char *why)
{
    copy->result.status = PKGCACHE_FAILED;
    copy->result.reason = strdup(why);
    return_copy(copier, copy);
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    struct copier *copier = context;
    struct copy *copy = CONTAINER_OF(result, struct copy, result);
    (void)index;
    copy->addition = NULL;
    unlink_copy(copier, copy);
    return_copy(copier, copy);
}

static struct copy *take_added_copies(struct copier *copier)
{
    pthread_mutex_lock(&copier->lock);
    struct copy *added = copier->added;
    copier->added = NULL;
    copier->added_last = &copier->added;
    pthread_mutex_unlock(&copier->lock);
    return added;
}

static void add_to_run(struct copier *copier, struct run *run)
{
    struct copy *copy = take_added_copies(copier);
    for (struct copy *next; copy; copy = next) {
        next = copy->next;
        copy->addition = run_add(run, &copy->variant, NULL, &copy->result);
        if (!copy->addition) {
            fail_copy(copier, copy, "out of memory");
            continue;
        }
        copy->addition->reports_rootless = copy->reports_rootless;
        copy->addition->source_device = copy->source_device;
        copy->addition->source_inode = copy->source_inode;
        link_copy(copier, copy);
        if (atomic_exchange(&copy->cancelled, false))
            run_cancel(run, copy->addition);
    }
}

static void cancel_copies(struct copier *copier, struct run *run)
{
    pthread_mutex_lock(&copier->lock);
    bool any = copier->cancels;
    copier->cancels = false;
    pthread_mutex_unlock(&copier->lock);
    struct copy *copy = any ? copier->oldest : NULL;
    for (struct copy *newer; copy; copy = newer) {
        newer = copy->newer;
        if (atomic_exchange(&copy->cancelled, false))
            run_cancel(run, copy->addition);
    }
}

static void fail_added_copies(struct copier *copier, const char *why)
{
    struct copy *copy = take_added_copies(copier);
    for (struct copy *next; copy; copy = next) {
        next = copy->next;
        fail_copy(copier, copy, why);
    }
}

static int open_cache(struct copier *copier, struct pkgcache_error *error)
{
    pthread_mutex_lock(&copier->lock);
    struct shared_options *options = shared_options_hold(copier->options);
    bool reload = copier->reload;
    copier->reload = false;
    pthread_mutex_unlock(&copier->lock);
    if (reload) {
        pkgcache_close(copier->cache);
        copier->cache = NULL;
    }
    int result = 0;
    if (!copier->cache)
        result = pkgcache_open(copier->path, &options->options, false, &copier->cache, error);
    shared_options_release(options);
    return result;
}

static void set_run(struct copier *copier, struct run *run)
{
    pthread_mutex_lock(&copier->lock);
    copier->run = run;
    pthread_mutex_unlock(&copier->lock);
}

/* Copies until nothing is left. A run that fails takes what it had with it; the next is another. */
static void run_copies(struct copier *copier)
{
    struct pkgcache_error error;
    struct precedence precedence;
    struct run *run = NULL;
    const struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .cancel_fd = copier->stop_fd,
        .on_progress = on_progress,
        .on_result = on_result,
        .context = copier,
    };
    if (open_cache(copier, &error) < 0 || run_start(copier->cache, &warm, &run, &error) < 0) {
        fail_added_copies(copier, error.message);
        return;
    }
    set_run(copier, run);
    precedence_begin_copying(&precedence);
    do {
        precedence_go_on_copying(&precedence);
        add_to_run(copier, run);
        cancel_copies(copier, run);
    } while (run_drive(run) == 0 && run->unfinished > 0);
    precedence_end_copying(&precedence);
    set_run(copier, NULL);
    run_end(run);
}

static void *copier_main(void *argument)
{
    struct copier *copier = argument;
    precedence_copies();
    pthread_mutex_lock(&copier->lock);
    while (!copier->stopping) {
        if (!copier->added) {
            pthread_cond_wait(&copier->wake, &copier->lock);
            continue;
        }
        pthread_mutex_unlock(&copier->lock);
        run_copies(copier);
        pthread_mutex_lock(&copier->lock);
    }
    pthread_mutex_unlock(&copier->lock);
    fail_added_copies(copier, "the daemon is stopping");
    pkgcache_close(copier->cache);
    return NULL;
}

int copier_start(const char *path, struct shared_options *options, int wake_fd, struct copier **ret,
                 struct pkgcache_error *ret_error)
{
    struct copier *copier = calloc(1, sizeof(*copier));
    if (!copier)
        return error_set(ret_error, ENOMEM, "out of memory");
    *copier = (struct copier){
        .path = strdup(path),
        .wake_fd = wake_fd,
        .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .options = shared_options_hold(options),
        .added_last = &copier->added,
        .done_last = &copier->done,
    };
    pthread_mutex_init(&copier->lock, NULL);
    pthread_cond_init(&copier->wake, NULL);
    int code = !copier->path          ? ENOMEM
               : copier->stop_fd <= 0 ? errno
                                      : thread_start(&copier->thread, copier_main, copier);
    if (code) {
        copier_free(copier);
        return error_set(ret_error, code, "cannot start the thread that copies: %s",
                         strerror(code));
    }
    *ret = copier;
    return 0;
}

void copier_add(struct copier *copier, struct copy *copy)
{
    atomic_store(&copy->state, COPY_QUEUED);
    pthread_mutex_lock(&copier->lock);
    copy->next = NULL;
    *copier->added_last = copy;
    copier->added_last = &copy->next;
    if (copier->run)
        run_wake(copier->run);
    pthread_cond_signal(&copier->wake);
    pthread_mutex_unlock(&copier->lock);
}

void copier_cancel(struct copier *copier, struct copy *copy)
{
    atomic_store(&copy->cancelled, true);
    pthread_mutex_lock(&copier->lock);
    copier->cancels = true;
    if (copier->run)
        run_wake(copier->run);
    pthread_mutex_unlock(&copier->lock);
}

struct copy *copier_take_done(struct copier *copier)
{
    pthread_mutex_lock(&copier->lock);
    struct copy *done = copier->done;
    copier->done = NULL;
    copier->done_last = &copier->done;
    pthread_mutex_unlock(&copier->lock);
    return done;
}

void copier_reload(struct copier *copier, struct shared_options *options)
{
    pthread_mutex_lock(&copier->lock);
    shared_options_replace(&copier->options, options);
    copier->reload = true;
    pthread_mutex_unlock(&copier->lock);
}

void copier_stop(struct copier *copier)
{
    pthread_mutex_lock(&copier->lock);
    copier->stopping = true;
    pthread_cond_signal(&copier->wake);
    pthread_mutex_unlock(&copier->lock);
    eventfd_write(copier->stop_fd, 1);
    pthread_join(copier->thread, NULL);
}

void copier_free(struct copier *copier)
{
    if (!copier)
        return;
    cleanup_close_fd(&copier->stop_fd);
    pthread_mutex_destroy(&copier->lock);
    pthread_cond_destroy(&copier->wake);
    shared_options_release(copier->options);
    free(copier->path);
    free(copier);
}
