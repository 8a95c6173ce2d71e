/*
 * Hard links. A table by device and inode remembers where the first name of a file was copied to;
 * names that come later are linked there. It has an entry for each file with several names of which
 * not all were seen yet, so its size is the tree's, not the engine's: it is no part of the bound on
 * memory.
 *
 * Where the destination has no hard links, or not as many (EMLINK), each name is a file of its own.
 */
#include "engine/hard_link.h"

#include "engine/compiler.h"
#include "engine/engine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { BUCKETS_MIN = 256 };

struct hard_link {
    struct hard_link *next;
    dev_t device;
    ino_t inode;
    char *path; /* of the first name, relative to the root of the copy */
    uint32_t names_left;
    bool ready;
    struct batch *waiting;
};

struct hard_links {
    pthread_mutex_t lock;
    struct hard_link **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

static struct hard_link **bucket_of(const struct hard_links *links, dev_t device, ino_t inode)
{
    uint64_t key[2] = {device, inode};
    return &links->buckets[XXH3_64bits(key, sizeof(key)) & (links->bucket_count - 1)];
}

static struct hard_links *table_of(struct copyengine_job *job)
{
    pthread_mutex_lock(&job->lock);
    struct hard_links *links = job->hard_links;
    if (!links && (links = calloc(1, sizeof(*links)))) {
        links->bucket_count = BUCKETS_MIN;
        links->buckets = calloc(BUCKETS_MIN, sizeof(struct hard_link *));
        pthread_mutex_init(&links->lock, NULL);
        job->hard_links = links;
    }
    pthread_mutex_unlock(&job->lock);
    return links && links->buckets ? links : NULL;
}

static void grow(struct hard_links *links)
{
    struct hard_links larger = {.bucket_count = links->bucket_count * 2};
    larger.buckets = calloc(larger.bucket_count, sizeof(struct hard_link *));
    if (!larger.buckets)
        return; /* slower, and right */
    for (size_t i = 0; i < links->bucket_count; i++)
        for (struct hard_link *link = links->buckets[i]; link;) {
            struct hard_link *next = link->next;
            struct hard_link **bucket = bucket_of(&larger, link->device, link->inode);
            link->next = *bucket;
            *bucket = link;
            link = next;
        }
    free(links->buckets);
    links->buckets = larger.buckets;
    links->bucket_count = larger.bucket_count;
}

static void free_link(struct hard_link *link)
{
    free(link->path);
    free(link);
}

/* Adds a file whose first name this is. */
static struct hard_link *add(struct hard_links *links, const struct statx *source, dev_t device,
                             const struct file *file)
{
    struct hard_link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    *link = (struct hard_link){.device = device,
                               .inode = source->stx_ino,
                               .path = directory_relative_path(file->batch->directory, file->name),
                               .names_left = source->stx_nlink - 1};
    if (!link->path) {
        free(link);
        return NULL;
    }
    if (++links->count > links->bucket_count)
        grow(links);
    struct hard_link **bucket = bucket_of(links, device, source->stx_ino);
    link->next = *bucket;
    *bucket = link;
    return link;
}

static void forget(struct hard_links *links, struct hard_link *link)
{
    struct hard_link **at = bucket_of(links, link->device, link->inode);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    links->count--;
    free_link(link);
}

/*
 * Links a name to a path of the copy, which may be longer than PATH_MAX: its directories are opened
 * one by one, and never through a link.
 */
static int64_t make_link(const struct io_port *port, const struct copyengine_job *job, char *path,
                         const struct file *file)
{
    int64_t fd = job->root_fd;
    char *name = path;
    for (char *slash; fd >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
        *slash = '\0';
        int64_t below =
            io_do(port, (struct io_op){.kind = IO_OPEN,
                                       .fd = (int)fd,
                                       .name = name,
                                       .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC});
        if (fd != job->root_fd)
            close((int)fd);
        fd = below;
    }
    if (fd < 0)
        return fd;
    int64_t result = io_do(port, (struct io_op){.kind = IO_HARD_LINK,
                                                .fd = (int)fd,
                                                .name = name,
                                                .other_fd = file->batch->directory->destination_fd,
                                                .other_name = file->name});
    if (fd != job->root_fd)
        close((int)fd);
    return result;
}

/* Whether an error of linkat(2) says that this name has to be a file of its own. */
static bool needs_own_file(int64_t result)
{
    return result == -EMLINK || result == -EPERM || result == -EOPNOTSUPP || result == -EXDEV;
}

/* The table's lock is held. *ret_path: where the first name was copied to, if that is ready. */
static enum hard_link_answer look_up(struct hard_links *links, const struct statx *source,
                                     struct file *file, char **ret_path)
{
    dev_t device = makedev(source->stx_dev_major, source->stx_dev_minor);
    struct hard_link *link = *bucket_of(links, device, source->stx_ino);
    while (link && (link->inode != source->stx_ino || link->device != device))
        link = link->next;
    if (!link) {
        file->hard_link = add(links, source, device, file);
        return file->hard_link ? HARD_LINK_COPY : HARD_LINK_FAILED;
    }
    if (!link->ready) {
        struct batch *batch = batch_new(file->batch->directory, &file->name, 1);
        if (!batch)
            return HARD_LINK_FAILED;
        batch->next = link->waiting;
        link->waiting = batch;
        return HARD_LINK_WAITS;
    }
    *ret_path = strdup(link->path);
    if (!*ret_path)
        return HARD_LINK_FAILED;
    if (--link->names_left == 0)
        forget(links, link);
    return HARD_LINK_MADE;
}

enum hard_link_answer hard_link_enter(const struct io_port *port, struct copyengine_job *job,
                                      const struct statx *source, struct file *file)
{
    CLEANUP_FREE char *path = NULL;
    enum hard_link_answer answer = HARD_LINK_FAILED;
    struct hard_links *links = table_of(job);
    if (links) {
        pthread_mutex_lock(&links->lock);
        answer = look_up(links, source, file, &path);
        pthread_mutex_unlock(&links->lock);
    }
    if (answer == HARD_LINK_FAILED)
        job_fail(job, "link", JOB_SOURCE, file->batch->directory, file->name, ENOMEM);
    if (answer != HARD_LINK_MADE)
        return answer;
    int64_t result = make_link(port, job, path, file);
    if (result == 0)
        return HARD_LINK_MADE;
    if (needs_own_file(result))
        return HARD_LINK_COPY;
    job_fail(job, "link", JOB_DESTINATION, file->batch->directory, file->name, (int)-result);
    return HARD_LINK_FAILED;
}

void hard_link_ready(struct copyengine_job *job, struct file *file)
{
    struct hard_link *link = file->hard_link;
    struct hard_links *links = job->hard_links;
    if (!link)
        return;
    file->hard_link = NULL;
    pthread_mutex_lock(&links->lock);
    link->ready = true;
    struct batch *waiting = link->waiting;
    link->waiting = NULL;
    pthread_mutex_unlock(&links->lock);
    if (waiting)
        schedule_add_batches(job->engine, job, waiting);
}

void hard_links_free(struct hard_links *links)
{
    if (!links)
        return;
    for (size_t i = 0; links->buckets && i < links->bucket_count; i++)
        while (links->buckets[i]) {
            struct hard_link *link = links->buckets[i];
            links->buckets[i] = link->next;
            free_link(link);
        }
    free(links->buckets);
    pthread_mutex_destroy(&links->lock);
    free(links);
}
