/*
 * Group commit by syncfs(2), which reports I/O errors from Linux 5.8 on. It writes everybody's data
 * on that file system, so one for many payloads is the point of it.
 */
#include "cache/flush.h"

#include "engine/compiler.h"
#include "engine/thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

struct request_list {
    struct flush_request *first;
    struct flush_request **end;
};

struct flusher {
    int cache_fd; /* its own */
    enum pkgcache_durability durability;
    void (*on_done)(void *context);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    bool flushing;
    struct request_list waiting;
    struct request_list done;
    char written[32]; /* what the kernel last said of pages written */
};

static void flusher_free(struct flusher *flusher)
{
    close(flusher->cache_fd);
    pthread_mutex_destroy(&flusher->lock);
    pthread_cond_destroy(&flusher->wake);
    free(flusher);
}

static void list_clear(struct request_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_append(struct request_list *list, struct flush_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

/* The requests that the next flush serves. With the lock held. */
static struct flush_request *take_group(struct flusher *flusher)
{
    struct flush_request *group = flusher->waiting.first;
    if (flusher->durability == PKGCACHE_DURABILITY_EACH && group->next) {
        flusher->waiting.first = group->next;
        group->next = NULL;
    } else {
        list_clear(&flusher->waiting);
    }
    return group;
}

/* Without the lock. */
static int flush(const struct flusher *flusher)
{
    return flusher->durability != PKGCACHE_DURABILITY_NONE && syncfs(flusher->cache_fd) < 0 ? -errno
                                                                                            : 0;
}

static void *flusher_main(void *argument)
{
    struct flusher *flusher = argument;
    pthread_mutex_lock(&flusher->lock);
    for (;;) {
        while (!flusher->waiting.first && !flusher->stopping)
            pthread_cond_wait(&flusher->wake, &flusher->lock);
        if (flusher->stopping)
            break;
        struct flush_request *group = take_group(flusher);
        flusher->flushing = true;
        pthread_mutex_unlock(&flusher->lock);
        int result = flush(flusher);
        pthread_mutex_lock(&flusher->lock);
        if (flusher
                ->stopping) { /* nobody waits: the requests are no more, and this is ours to free */
            pthread_mutex_unlock(&flusher->lock);
            flusher_free(flusher);
            return NULL;
        }
        flusher->flushing = false;
        while (group) {
            struct flush_request *request = group;
            group = request->next;
            request->result = result;
            list_append(&flusher->done, request);
        }
        flusher->on_done(flusher->context);
    }
    pthread_mutex_unlock(&flusher->lock);
    return NULL;
}

int flusher_start(int cache_fd, enum pkgcache_durability durability, void (*on_done)(void *context),
                  void *context, struct flusher **ret)
{
    struct flusher *flusher = calloc(1, sizeof(*flusher));
    if (!flusher)
        return -ENOMEM;
    *flusher = (struct flusher){.durability = durability, .on_done = on_done, .context = context};
    flusher->cache_fd = fcntl(cache_fd, F_DUPFD_CLOEXEC, 0);
    if (flusher->cache_fd < 0) {
        int error = errno;
        free(flusher);
        return -error;
    }
    list_clear(&flusher->waiting);
    list_clear(&flusher->done);
    pthread_mutex_init(&flusher->lock, NULL);
    pthread_cond_init(&flusher->wake, NULL);
    int code = thread_start(&flusher->thread, flusher_main, flusher);
    if (code != 0) {
        flusher_free(flusher);
        return -code;
    }
    *ret = flusher;
    return 0;
}

void flusher_add(struct flusher *flusher, struct flush_request *request)
{
    pthread_mutex_lock(&flusher->lock);
    list_append(&flusher->waiting, request);
    pthread_cond_signal(&flusher->wake);
    pthread_mutex_unlock(&flusher->lock);
}

struct flush_request *flusher_take_done(struct flusher *flusher)
{
    pthread_mutex_lock(&flusher->lock);
    struct flush_request *done = flusher->done.first;
    list_clear(&flusher->done);
    pthread_mutex_unlock(&flusher->lock);
    return done;
}

bool flusher_progresses(struct flusher *flusher)
{
    char written[sizeof(flusher->written)] = "";
    char line[128];
    CLEANUP_FCLOSE FILE *stream = fopen("/proc/vmstat", "re");
    while (stream && fgets(line, sizeof(line), stream))
        if (sscanf(line, "nr_written %31s", written) == 1)
            break;
    bool progresses = strcmp(written, flusher->written) != 0;
    strcpy(flusher->written, written);
    return progresses;
}

void flusher_stop(struct flusher *flusher)
{
    if (!flusher)
        return;
    pthread_mutex_lock(&flusher->lock);
    flusher->stopping = true;
    bool busy = flusher->flushing;
    pthread_t thread = flusher->thread;
    if (busy)
        pthread_detach(thread);
    pthread_cond_signal(&flusher->wake);
    pthread_mutex_unlock(&flusher->lock);
    if (busy)
        return;
    pthread_join(thread, NULL);
    flusher_free(flusher);
}
