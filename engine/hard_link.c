/*
 * Hard links. A table remembers where the first name of a file was copied to; names that come later
 * are linked there. A file is known by its inode and by all else that its names have in common:
 * where two file systems are shown as one (bindfs), files of both may have the same inode.
 *
 * The table has an entry for each file with several names of which not all were seen yet, so its
 * size is the tree's, not the engine's: it is no part of the bound on memory.
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
    XXH128_hash_t key;
    char *path;            /* of the first name, relative to the root of the copy */
    char *target;          /* that a symbolic link says there; NULL: a file */
    struct timespec mtime; /* that a symbolic link has there */
    uint32_t names_left;   /* that were not met yet */
    bool ready;            /* there is a file to link to, or there will never be one */
    struct batch *blocked; /* names that were met before that */
};

static XXH128_hash_t key_of(const struct statx *source)
{
    const uint64_t key[] = {
        makedev(source->stx_dev_major, source->stx_dev_minor),
        source->stx_ino,
        source->stx_size,
        source->stx_mode,
        source->stx_uid,
        source->stx_gid,
        source->stx_nlink,
        (uint64_t)source->stx_mtime.tv_sec,
        source->stx_mtime.tv_nsec,
        (uint64_t)source->stx_ctime.tv_sec,
        source->stx_ctime.tv_nsec,
    };
    return XXH3_128bits(key, sizeof(key));
}

static struct hard_link **bucket_of(const struct hard_links *links, XXH128_hash_t key)
{
    return &links->buckets[key.low64 & (links->bucket_count - 1)];
}

void hard_links_init(struct hard_links *links)
{
    *links = (struct hard_links){0};
    pthread_mutex_init(&links->lock, NULL);
    pthread_mutex_init(&links->symlink_lock, NULL);
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
            struct hard_link **bucket = bucket_of(&larger, link->key);
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
    free(link->target);
    free(link);
}

/* With the lock held. NULL: no name of it was met. */
static struct hard_link *look_up(const struct hard_links *links, const struct statx *source)
{
    XXH128_hash_t key = key_of(source);
    struct hard_link *link = links->buckets ? *bucket_of(links, key) : NULL;
    while (link && !XXH128_isEqual(link->key, key))
        link = link->next;
    return link;
}

/* Adds a file or link whose first name this is; with the lock held. NULL for want of memory. */
static struct hard_link *add_link(struct hard_links *links, const struct statx *source,
                                  const struct directory *directory, const char *name)
{
    if (!ensure_table(links))
        return NULL;
    struct hard_link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    assert(source->stx_nlink > 1);
    *link = (struct hard_link){.key = key_of(source),
                               .path = directory_relative_path(directory, name),
                               .names_left = source->stx_nlink - 1};
    if (!link->path) {
        free(link);
        return NULL;
    }
    if (++links->count > links->bucket_count)
        grow_table(links);
    struct hard_link **bucket = bucket_of(links, link->key);
    link->next = *bucket;
    *bucket = link;
    return link;
}

static void remove_link(struct hard_links *links, struct hard_link *link)
{
    struct hard_link **at = bucket_of(links, link->key);
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
                         const struct directory *directory, const char *new_name)
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
                                                .other_fd = directory->destination_fd,
                                                .other_name = new_name});
    if (fd != root_fd)
        close((int)fd);
    return result;
}

/* Whether an error of linkat(2) says that this name has to be a file of its own. */
static bool needs_own_file(int64_t result)
{
    return result == -EMLINK || result == -EPERM || result == -EOPNOTSUPP || result == -ENOSYS ||
           result == -EXDEV ||
           result == -EIO /* rclone has none, and says so; a disk fails again */;
}

/* With the lock held. *ret_path: where the first name was copied to, if that is ready. */
static enum hard_link_answer find_link(struct hard_links *links, const struct statx *source,
                                       struct file *file, char **ret_path)
{
    struct hard_link *link = look_up(links, source);
    if (!link) {
        file->hard_link = add_link(links, source, file->batch->directory, file->name);
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
    enum hard_link_answer answer = find_link(links, source, file, &path);
    pthread_mutex_unlock(&links->lock);
    *ret_code = ENOMEM;
    if (answer != HARD_LINK_MADE)
        return answer;
    int64_t result = make_link(port, root_fd, path, file->batch->directory, file->name);
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
    pthread_mutex_destroy(&links->symlink_lock);
}

/* --- Symbolic links -------------------------------------------------------------------------- */

void hard_link_begin_symlink(struct hard_links *links)
{
    pthread_mutex_lock(&links->symlink_lock);
}

void hard_link_end_symlink(struct hard_links *links)
{
    pthread_mutex_unlock(&links->symlink_lock);
}

bool hard_link_symlink(struct hard_links *links, const struct io_port *port, int root_fd,
                       const struct directory *directory, const char *name, const char *target,
                       const struct statx *source, struct timespec *ret_mtime)
{
    CLEANUP_FREE char *path = NULL;
    pthread_mutex_lock(&links->lock);
    struct hard_link *link = look_up(links, source);
    if (link && strcmp(link->target, target) == 0) {
        path = strdup(link->path);
        *ret_mtime = link->mtime;
    }
    if (link && --link->names_left == 0)
        remove_link(links, link);
    pthread_mutex_unlock(&links->lock);
    return path && make_link(port, root_fd, path, directory, name) == 0;
}

int hard_link_add_symlink(struct hard_links *links, const struct directory *directory,
                          const char *name, const char *target, const struct statx *source,
                          struct timespec mtime)
{
    int result = 0;
    pthread_mutex_lock(&links->lock);
    if (!look_up(links, source)) {
        CLEANUP_FREE char *said = strdup(target);
        struct hard_link *link = said ? add_link(links, source, directory, name) : NULL;
        if (link) {
            link->target = STEAL(said);
            link->mtime = mtime;
            link->ready = true;
        }
        result = link ? 0 : -ENOMEM;
    }
    pthread_mutex_unlock(&links->lock);
    return result;
}
