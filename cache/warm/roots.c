/* Checks roots. Threads are started while all are busy, and own what they work with. */
#include "cache/warm/roots.h"

#include "cache/util/own_path.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/thread.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum {
    THREADS_MAX = 16,
    STUCK_THREADS_MAX = 256, /* then there may be more */
};

struct roots {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int cache_fd; /* -1: there is none */
    dev_t cache_device;
    void (*on_done)(void *context);
    void *context;
    bool stopping;
    unsigned references; /* the caller's, and each thread's */
    unsigned threads;
    unsigned idle;
    uint64_t found_ns; /* CLOCK_MONOTONIC_COARSE; when something was found last */
    struct root_check *queued;
    struct root_check *done;
};

static void free_subject(const struct root_look *look)
{
    if (look->free_subject)
        look->free_subject(look->subject);
}

static void free_checks(struct root_check *check)
{
    while (check) {
        struct root_check *next = check->next;
        roots_free_check(check);
        check = next;
    }
}

/* Gives one reference back; the last frees. With the lock held, which is released. */
static void release_roots(struct roots *roots)
{
    assert(roots->references > 0);
    bool last = --roots->references == 0;
    pthread_mutex_unlock(&roots->lock);
    if (!last)
        return;
    free_checks(roots->queued);
    free_checks(roots->done);
    pthread_mutex_destroy(&roots->lock);
    pthread_cond_destroy(&roots->wake);
    cleanup_close_fd(&roots->cache_fd);
    free(roots);
}

/* The kernel knows the path of what is open, where realpath(3) would ask the server again. */
static char *resolve_root(const char *root, int fd)
{
    char link[32];
    char path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path));
    return length > 0 && *path == '/' ? strndup(path, (size_t)length) : realpath(root, NULL);
}

static int open_root(const struct root_check *check)
{
    if (check->look.own_links)
        return own_path_open_directory(check->root);
    int fd = open(check->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Finds out whether cache and root contain each other by mounts; paths are the caller's business.
 */
static void compare_with_cache(const struct roots *roots, struct root_check *check, int fd)
{
    if (roots->cache_fd < 0 || roots->cache_device != check->device)
        return;
    check->is_in_cache = copyengine_is_inside(fd, roots->cache_fd);
    check->has_cache = copyengine_is_inside(roots->cache_fd, fd);
}

static void find_published(struct root_check *check, int *root_fd)
{
    if (!check->handle ||
        published_open(check->handle, check->root, &check->published, &check->unpublished) != 1)
        return;
    const struct stat *root = published_root(check->published);
    if (root->st_dev == check->device && root->st_ino == check->inode) {
        check->fd = steal_fd(root_fd);
        return;
    }
    published_close(STEAL(check->published)); /* the root was exchanged just now */
}

static void check_root(const struct roots *roots, struct root_check *check)
{
    struct stat status = {0};
    CLEANUP_CLOSE int fd = open_root(check);
    check->result = fd < 0 ? fd : fstat(fd, &status) < 0 ? -errno : 0;
    if (check->result < 0)
        return;
    check->device = status.st_dev;
    check->inode = status.st_ino;
    compare_with_cache(roots, check, fd);
    check->resolved = resolve_root(check->root, fd);
    if (!check->resolved)
        check->result = -errno;
    else if (check->look.judge)
        check->look.judge(check, fd);
    if (check->result == 0)
        find_published(check, &fd);
}

static void *roots_main(void *argument)
{
    struct roots *roots = argument;
    pthread_mutex_lock(&roots->lock);
    while (!roots->stopping) {
        struct root_check *check = roots->queued;
        if (!check) {
            roots->idle++;
            pthread_cond_wait(&roots->wake, &roots->lock);
            roots->idle--;
            continue;
        }
        roots->queued = check->next;
        pthread_mutex_unlock(&roots->lock);
        check_root(roots, check);
        pthread_mutex_lock(&roots->lock);
        check->next = roots->done;
        roots->done = check;
        roots->found_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
        if (!roots->stopping)
            roots->on_done(roots->context);
    }
    release_roots(roots);
    return NULL;
}

int roots_start(const struct pkgcache *cache, void (*on_done)(void *context), void *context,
                struct roots **ret)
{
    struct roots *roots = calloc(1, sizeof(*roots));
    if (!roots)
        return -ENOMEM;
    *roots = (struct roots){.cache_fd = cache ? fcntl(cache->fd, F_DUPFD_CLOEXEC, 0) : -1,
                            .cache_device = cache ? cache->device : 0,
                            .on_done = on_done,
                            .context = context,
                            .references = 1,
                            .found_ns = clock_ns(CLOCK_MONOTONIC_COARSE)};
    pthread_mutex_init(&roots->lock, NULL);
    pthread_cond_init(&roots->wake, NULL);
    *ret = roots;
    return 0;
}

/* With the lock held: how many threads there may be. A server that hangs must not have them all. */
static unsigned threads_max(const struct roots *roots)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    return now_ns - roots->found_ns >= ROOTS_STUCK_MS * NS_PER_MS ? STUCK_THREADS_MAX : THREADS_MAX;
}

/* With the lock held. */
static void start_thread(struct roots *roots)
{
    pthread_t thread;
    if (thread_start(&thread, roots_main, roots) != 0)
        return;
    pthread_detach(thread);
    roots->references++;
    roots->threads++;
}

int roots_add(struct roots *roots, const char *root, const struct root_look *look, void *context,
              struct root_check **ret)
{
    size_t bytes = strlen(root) + 1;
    struct root_check *check = malloc(sizeof(*check) + bytes);
    if (!check) {
        free_subject(look);
        return -ENOMEM;
    }
    *check = (struct root_check){.look = *look, .context = context, .fd = -1};
    memcpy(check->root, root, bytes);
    check->look.published_as = NULL;
    if (look->published_as && handle_copy(look->published_as, &check->handle) < 0) {
        roots_free_check(check);
        return -ENOMEM;
    }
    pthread_mutex_lock(&roots->lock);
    if (roots->idle == 0 && roots->threads < threads_max(roots))
        start_thread(roots);
    bool taken = roots->threads > 0;
    if (taken) {
        check->next = roots->queued;
        roots->queued = check;
        pthread_cond_signal(&roots->wake);
    }
    pthread_mutex_unlock(&roots->lock);
    if (!taken)
        roots_free_check(check);
    else
        *ret = check;
    return taken ? 0 : -EAGAIN;
}

void roots_tend(struct roots *roots)
{
    pthread_mutex_lock(&roots->lock);
    const struct root_check *check = roots->idle == 0 ? roots->queued : NULL;
    for (; check && roots->threads < threads_max(roots); check = check->next)
        start_thread(roots);
    pthread_mutex_unlock(&roots->lock);
}

struct root_check *roots_take_done(struct roots *roots)
{
    pthread_mutex_lock(&roots->lock);
    struct root_check *done = roots->done;
    roots->done = NULL;
    pthread_mutex_unlock(&roots->lock);
    return done;
}

void roots_free_check(struct root_check *check)
{
    free_subject(&check->look);
    published_close(check->published);
    cleanup_close_fd(&check->fd);
    handle_free(check->handle);
    free(check->resolved);
    free(check);
}

void roots_stop(struct roots *roots)
{
    if (!roots)
        return;
    pthread_mutex_lock(&roots->lock);
    roots->stopping = true;
    pthread_cond_broadcast(&roots->wake);
    release_roots(roots);
}
