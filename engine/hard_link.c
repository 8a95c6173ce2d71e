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

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { BUCKETS_MIN = 256 };

struct hard_link {
    struct hard_link *next;
    dev_t device;
    ino_t inode;
    char *path;            /* of the first name, relative to the root of the copy */
    uint32_t names_left;   /* that were not met yet */
    bool ready;            /* there is a file to link to, or there will never be one */
    struct batch *blocked; /* names that were met before that */
};

static struct hard_link **bucket_of(const struct hard_links *links, dev_t device, ino_t inode)
{
    uint64_t key[2] = {device, inode};
    return &links->buckets[XXH3_64bits(key, sizeof(key)) & (links->bucket_count - 1)];
}

void hard_links_init(struct hard_links *links)
{
    *links = (struct hard_links){0};
    pthread_mutex_init(&links->lock, NULL);
}

/* With the lock held. Returns false for want of memory. */
static bool ensure_table(struct hard_links *links)
{
    if (links->buckets)
        return true;
    links->buckets = calloc(BUCKETS_MIN, sizeof(struct hard_link *));
    links->bucket_count = links->buckets ? BUCKETS_MIN : 0;
    return links->buckets;
}

static void grow_table(struct hard_links *links)
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
static struct hard_link *add_link(struct hard_links *links, const struct statx *source,
                                  dev_t device, const struct file *file)
{
    struct hard_link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    assert(source->stx_nlink > 1);
    *link = (struct hard_link){.device = device,
                               .inode = source->stx_ino,
                               .path = directory_relative_path(file->batch->directory, file->name),
                               .names_left = source->stx_nlink - 1};
    if (!link->path) {
        free(link);
        return NULL;
    }
    if (++links->count > links->bucket_count)
        grow_table(links);
    struct hard_link **bucket = bucket_of(links, device, source->stx_ino);
    link->next = *bucket;
    *bucket = link;
    return link;
}

static void remove_link(struct hard_links *links, struct hard_link *link)
{
    struct hard_link **at = bucket_of(links, link->device, link->inode);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    assert(links->count > 0 && !link->blocked);
    links->count--;
    free_link(link);
}

/*
 * Links a name to a path of the copy, which may be longer than PATH_MAX: its directories are opened
 * one by one, and never through a link.
 */
static int64_t make_link(const struct io_port *port, int root_fd, char *path,
                         const struct file *file)
{
    int64_t fd = root_fd;
    char *name = path;
    for (char *slash; fd >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
        *slash = '\0';
        int64_t below =
            io_do(port, (struct io_op){.kind = IO_OPEN,
                                       .fd = (int)fd,
                                       .name = name,
                                       .flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC});
        if (fd != root_fd)
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
    if (fd != root_fd)
        close((int)fd);
    return result;
}

/* Whether an error of linkat(2) says that this name has to be a file of its own. */
static bool needs_own_file(int64_t result)
{
    return result == -EMLINK || result == -EPERM || result == -EOPNOTSUPP || result == -EXDEV;
}

/* With the lock held. *ret_path: where the first name was copied to, if that is ready. */
static enum hard_link_answer find_link(struct hard_links *links, const struct statx *source,
                                       struct file *file, char **ret_path)
{
    dev_t device = makedev(source->stx_dev_major, source->stx_dev_minor);
    struct hard_link *link = *bucket_of(links, device, source->stx_ino);
    while (link && (link->inode != source->stx_ino || link->device != device))
        link = link->next;
    if (!link) {
        file->hard_link = add_link(links, source, device, file);
        return file->hard_link ? HARD_LINK_COPY : HARD_LINK_FAILED;
    }
    if (!link->ready) {
        struct batch *batch = batch_new(file->batch->directory, &file->name, 1);
        if (!batch)
            return HARD_LINK_FAILED;
        batch->next = link->blocked;
        link->blocked = batch;
        return HARD_LINK_WAITS;
    }
    *ret_path = strdup(link->path);
    if (!*ret_path)
        return HARD_LINK_FAILED;
    if (--link->names_left == 0)
        remove_link(links, link);
    return HARD_LINK_MADE;
}

enum hard_link_answer hard_link_enter(struct hard_links *links, const struct io_port *port,
                                      int root_fd, const struct statx *source, struct file *file,
                                      int *ret_code)
{
    CLEANUP_FREE char *path = NULL;
    assert(!file->hard_link);
    pthread_mutex_lock(&links->lock);
    enum hard_link_answer answer =
        ensure_table(links) ? find_link(links, source, file, &path) : HARD_LINK_FAILED;
    pthread_mutex_unlock(&links->lock);
    *ret_code = ENOMEM;
    if (answer != HARD_LINK_MADE)
        return answer;
    int64_t result = make_link(port, root_fd, path, file);
    if (result == 0)
        return HARD_LINK_MADE;
    if (needs_own_file(result))
        return HARD_LINK_COPY;
    *ret_code = (int)-result;
    return HARD_LINK_FAILED;
}

struct batch *hard_link_ready(struct hard_links *links, struct file *file)
{
    struct hard_link *link = file->hard_link;
    if (!link)
        return NULL;
    file->hard_link = NULL;
    pthread_mutex_lock(&links->lock);
    assert(!link->ready);
    link->ready = true;
    struct batch *blocked = link->blocked;
    link->blocked = NULL;
    pthread_mutex_unlock(&links->lock);
    return blocked;
}

void hard_links_destroy(struct hard_links *links)
{
    for (size_t i = 0; i < links->bucket_count; i++)
        while (links->buckets[i]) {
            struct hard_link *link = links->buckets[i];
            links->buckets[i] = link->next;
            free_link(link);
        }
    free(links->buckets);
    pthread_mutex_destroy(&links->lock);
}
