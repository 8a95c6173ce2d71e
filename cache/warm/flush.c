/*
 * Group commit by syncfs(2). It writes everybody's data on that file system, so one for many
 * payloads is the point of it.
 *
 * It reports I/O errors from Linux 5.8 on. Before, it is followed by fsync(2) of every file and
 * directory: that finds little left to write, but what could not be written, since from 4.16 on a
 * file that was opened after the error still hears of it, once.
 */
#include "cache/warm/flush.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/compiler.h"
#include "engine/thread.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

enum { DEPTH_MAX = 512 }; /* of a payload whose files are flushed one by one */

struct request_list {
    struct flush_request *first;
    struct flush_request **end;
};

struct flusher {
    int cache_fd; /* its own */
    bool by_file; /* syncfs does not report errors */
    enum pkgcache_durability durability;
    void (*on_done)(void *context);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    bool flushing;
    struct request_list queued;
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

/* Takes the requests that the next flush serves. With the lock held. */
static struct flush_request *take_group(struct flusher *flusher)
{
    struct flush_request *group = flusher->queued.first;
    assert(group && !flusher->flushing);
    if (flusher->durability == PKGCACHE_DURABILITY_EACH && group->next) {
        flusher->queued.first = group->next;
        group->next = NULL;
    } else {
        list_clear(&flusher->queued);
    }
    return group;
}

static bool syncfs_is_silent(void)
{
    struct utsname name;
    char *end;
    if (uname(&name) < 0)
        return true;
    unsigned long major = strtoul(name.release, &end, 10);
    if (end == name.release || *end != '.')
        return false; /* no number of ours: not that old */
    return major < 5 || (major == 5 && strtoul(end + 1, NULL, 10) < 8);
}

static int flush_tree(int dirfd, unsigned depth);

/* Other entries than files and directories are written with their directory. */
static int flush_entry(int dirfd, const char *name, unsigned depth) /* NOLINT(misc-no-recursion) */
{
    CLEANUP_CLOSE int fd = file_open(dirfd, name, O_RDONLY | O_NOFOLLOW);
    struct stat status;
    if (fd < 0) /* EACCES: of mode 0, which nobody but root can ask */
        return errno == ELOOP || errno == ENXIO || errno == EACCES ? 0 : -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return flush_tree(fd, depth + 1);
    return S_ISREG(status.st_mode) && fsync(fd) < 0 ? -errno : 0;
}

static int flush_tree(int dirfd, unsigned depth) /* NOLINT(misc-no-recursion) */
{
    struct names names;
    if (depth > DEPTH_MAX)
        return -ENAMETOOLONG;
    int result = names_open(&names, dirfd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        result = flush_entry(dirfd, name, depth);
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result == 0 && fsync(dirfd) < 0 ? -errno : result;
}

/* The trees of a group. They stay open also when nobody waits for the flush any more. */
struct trees {
    int *fds;
    int *results;
    size_t count;
};

/* Opens the trees of a group anew, if each has to be flushed. With the lock held. */
static int open_trees(const struct flusher *flusher, const struct flush_request *group,
                      struct trees *ret)
{
    *ret = (struct trees){0};
    assert(!flusher->by_file || flusher->durability != PKGCACHE_DURABILITY_NONE);
    if (!flusher->by_file)
        return 0;
    size_t count = 0;
    for (const struct flush_request *request = group; request; request = request->next)
        count++;
    ret->fds = calloc(count, sizeof(*ret->fds));
    ret->results = calloc(count, sizeof(*ret->results));
    if (!ret->fds || !ret->results)
        return -ENOMEM;
    for (const struct flush_request *request = group; request; request = request->next) {
        ret->fds[ret->count] = fcntl(request->tree_fd, F_DUPFD_CLOEXEC, 0);
        ret->results[ret->count] = ret->fds[ret->count] < 0 ? -errno : 0;
        ret->count++;
    }
    return 0;
}

static void close_trees(struct trees *trees)
{
    for (size_t i = 0; i < trees->count; i++)
        cleanup_close_fd(&trees->fds[i]);
    free(trees->fds);
    free(trees->results);
}

/* Without the lock. @return of all; each tree may have a result of its own besides */
static int flush_group(const struct flusher *flusher, struct trees *trees)
{
    if (flusher->durability == PKGCACHE_DURABILITY_NONE)
        return 0;
    if (syncfs(flusher->cache_fd) < 0)
        return -errno;
    for (size_t i = 0; i < trees->count; i++)
        if (trees->results[i] == 0)
            trees->results[i] = flush_tree(trees->fds[i], 0);
    return 0;
}

/* Hands a group back. With the lock held. */
static void finish_group(struct flusher *flusher, struct flush_request *group, int result,
                         const struct trees *trees)
{
    for (size_t i = 0; group; i++) {
        struct flush_request *request = group;
        assert(result < 0 || trees->count == 0 || i < trees->count); /* all of them, or none */
        group = request->next;
        request->result = result < 0 || i >= trees->count ? result : trees->results[i];
        list_append(&flusher->done, request);
    }
}

static void *flusher_main(void *argument)
{
    struct flusher *flusher = argument;
    pthread_mutex_lock(&flusher->lock);
    for (;;) {
        while (!flusher->queued.first && !flusher->stopping)
            pthread_cond_wait(&flusher->wake, &flusher->lock);
        if (flusher->stopping)
            break;
        struct trees trees;
        struct flush_request *group = take_group(flusher);
        int result = open_trees(flusher, group, &trees);
        flusher->flushing = true;
        pthread_mutex_unlock(&flusher->lock);
        if (result == 0)
            result = flush_group(flusher, &trees);
        pthread_mutex_lock(&flusher->lock);
        if (!flusher->stopping)
            finish_group(flusher, group, result, &trees);
        close_trees(&trees);
        if (flusher->stopping) { /* nobody waits: the requests are no more; this is ours to free */
            pthread_mutex_unlock(&flusher->lock);
            flusher_free(flusher);
            return NULL;
        }
        assert(flusher->flushing);
        flusher->flushing = false;
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
    flusher->by_file = durability != PKGCACHE_DURABILITY_NONE && syncfs_is_silent();
    list_clear(&flusher->queued);
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
    assert(!flusher->stopping);
    list_append(&flusher->queued, request);
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
