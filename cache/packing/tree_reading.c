/*
 * Reading trees, all of them side by side: what is a millisecond away is asked for by many threads,
 * whether it is in one tree or in several, in one directory or in many. What is to be done is on a
 * stack: a root is opened; a directory is opened and listed; some of the names in it are looked at.
 * When nothing is left, the nodes of each tree are put in order.
 */
#include "cache/packing/pack_tree.h"

#include "engine/compiler.h"
#include "engine/device.h"
#include "engine/processors.h"
#include "engine/symlink.h"
#include "engine/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

enum {
    REMOTE_THREADS = 64,
    LOCAL_THREADS_MAX = 16,
    PERMISSIONS = 01777,
    NAMES_AT_ONCE = 32, /* of a directory, that one thread looks at */
};

/* What is to be done. */
struct task {
    struct task *next;
    struct tree_reading *reading;
    struct pack_tree_directory *directory; /* NULL: the root is to be opened */
    size_t first;
    size_t end; /* of the names to be looked at; 0: it is to be listed */
};

/* All trees. */
struct pool {
    const struct pack_tree_options *options;
    struct pkgcache_error *error;
    pthread_t threads[REMOTE_THREADS];
    pthread_mutex_t lock; /* of all that follows, and of warnings */
    pthread_cond_t changed;
    size_t thread_count;
    struct task *tasks; /* a stack */
    size_t open;        /* tasks on the stack, or under way */
    int result;         /* the first error */
};

/* One of them. */
struct tree_reading {
    struct pool *pool;
    const char *root;
    struct symlink_root links;
    struct pack_tree *tree;
};

/* Puts a task on the stack. With the lock held. */
static void push(struct tree_reading *reading, struct pack_tree_directory *directory, size_t first,
                 size_t end)
{
    struct pool *pool = reading->pool;
    struct task *task = malloc(sizeof(*task));
    if (!task) {
        if (pool->result == 0)
            pool->result = error_set(pool->error, ENOMEM, "%s: out of memory", reading->root);
        return;
    }
    *task = (struct task){pool->tasks, reading, directory, first, end};
    pool->tasks = task;
    pool->open++;
    pthread_cond_signal(&pool->changed);
}

/* Has a directory read. With the lock held. */
static void push_directory(struct tree_reading *reading, struct pack_node *node)
{
    struct pack_tree_directory *directory = calloc(1, sizeof(*directory));
    node->inside = directory;
    if (directory) {
        directory->node = node;
        directory->next_of_all = reading->tree->directories;
        reading->tree->directories = directory;
        push(reading, directory, 0, 0);
    } else if (reading->pool->result == 0) {
        reading->pool->result =
            error_set(reading->pool->error, ENOMEM, "%s: out of memory", reading->root);
    }
}

/* --- One directory --------------------------------------------------------------------------- */

static void fail(struct tree_reading *reading, const struct pack_node *node, const char *name,
                 const char *what, int code)
{
    CLEANUP_FREE char *path = pack_tree_path(node);
    pthread_mutex_lock(&reading->pool->lock);
    if (reading->pool->result == 0)
        reading->pool->result =
            error_set(reading->pool->error, code, "%s: %s/%s%s%s: %s", what, reading->root,
                      path ? path : "?", *name ? "/" : "", name, strerror(code));
    pthread_mutex_unlock(&reading->pool->lock);
}

static void warn(struct tree_reading *reading, const struct pack_node *node, const char *name,
                 const char *text)
{
    CLEANUP_FREE char *path = pack_tree_path(node);
    CLEANUP_FREE char *whole = NULL;
    bool in_root = !path || !node->parent;
    if (!reading->pool->options->on_warning ||
        asprintf(&whole, "%s/%s%s%s", reading->root, in_root ? "" : path, in_root ? "" : "/",
                 name) < 0)
        return;
    pthread_mutex_lock(&reading->pool->lock);
    reading->pool->options->on_warning(reading->pool->options->context, whole, text);
    pthread_mutex_unlock(&reading->pool->lock);
}

static void take_status(struct pack_node *node, const struct stat *status, bool remote)
{
    node->size = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0;
    node->data_bytes = MIN(node->size, (uint64_t)status->st_blocks * S_BLKSIZE);
    if (node->data_bytes == 0 && remote) /* many servers count no blocks */
        node->data_bytes = node->size;
    node->mtime = status->st_mtim;
    node->device = status->st_dev;
    node->inode = status->st_ino;
    node->names = S_ISDIR(status->st_mode) ? 1 : status->st_nlink;
    node->mode = status->st_mode & (S_IFMT | PERMISSIONS);
}

/* What the copy of a link says. Returns 0, 1: it is left out, or -errno. */
static int read_link(struct tree_reading *reading, int fd, const struct pack_node *directory,
                     struct pack_node *node)
{
    char target[SYMLINK_TARGET_MAX];
    char kept[SYMLINK_TARGET_MAX];
    ssize_t length = readlinkat(fd, node->name, target, sizeof(target) - 1);
    if (length < 0 && (errno == EPERM || errno == EACCES)) {
        warn(reading, directory, node->name,
             "not packed: the file system does not let the link be read");
        return 1;
    }
    if (length < 0)
        return -errno;
    target[length] = '\0';
    const char *text = target;
    if (!reading->pool->options->preserve_symlinks) {
        CLEANUP_FREE char *path = pack_tree_path(directory);
        int result = path ? symlink_keep_meaning(&reading->links, fd, directory->parent ? path : "",
                                                 node->name, target, kept)
                          : -ENOMEM;
        if (result == -ENAMETOOLONG)
            warn(reading, directory, node->name,
                 "the link leads elsewhere in the pack: a path to where it leads is too long for a "
                 "link");
        else if (result < 0)
            return result;
        text = kept;
    }
    node->target = strdup(text);
    return node->target ? 0 : -ENOMEM;
}

/* Finds out what a name is. Returns as read_link. */
static int read_node(struct tree_reading *reading, int fd, const struct pack_node *directory,
                     struct pack_node *node)
{
    struct stat status;
    if (fstatat(fd, node->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    take_status(node, &status, reading->tree->remote);
    node->parent = directory;
    if (S_ISLNK(status.st_mode))
        return read_link(reading, fd, directory, node);
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return 0;
    warn(reading, directory, node->name, "not packed: it is a socket, fifo or device");
    return 1;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct pack_node *)a)->name, ((const struct pack_node *)b)->name);
}

/* Reads the names. Returns 0 or -errno. */
static int list(DIR *dir, struct pack_tree_directory *directory)
{
    size_t capacity = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (directory->count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            struct pack_node *larger = realloc(directory->nodes, capacity * sizeof(*larger));
            if (!larger)
                return -ENOMEM;
            directory->nodes = larger;
        }
        struct pack_node *node = &directory->nodes[directory->count];
        *node = (struct pack_node){.name = strdup(entry->d_name)};
        if (!node->name)
            return -ENOMEM;
        directory->count++;
    }
    if (errno)
        return -errno;
    if (directory->count > 0)
        qsort(directory->nodes, directory->count, sizeof(*directory->nodes), compare_names);
    return 0;
}

/* All names were looked at: those that are left out go, and the directories among them are next. */
static void end_directory(struct tree_reading *reading, struct pack_tree_directory *directory)
{
    size_t kept = 0;
    struct pool *pool = reading->pool;
    closedir(STEAL(directory->stream));
    for (size_t i = 0; i < directory->count; i++)
        if (directory->nodes[i].name)
            directory->nodes[kept++] = directory->nodes[i];
    directory->count = kept;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = kept; pool->result == 0 && i > 0; i--) /* nodes do not move any more */
        if (S_ISDIR(directory->nodes[i - 1].mode))
            push_directory(reading, &directory->nodes[i - 1]);
    pthread_mutex_unlock(&pool->lock);
}

/* Looks at some of the names. */
static void look_at(struct tree_reading *reading, struct pack_tree_directory *directory,
                    size_t first, size_t end)
{
    bool fine = true;
    for (size_t i = first; i < end; i++) {
        struct pack_node *node = &directory->nodes[i];
        int result = fine ? read_node(reading, dirfd(directory->stream), directory->node, node) : 1;
        if (result < 0)
            fail(reading, directory->node, node->name, "cannot be read", -result);
        fine = fine && result >= 0;
        if (result != 0) {
            pack_tree_free_node(node);
            *node = (struct pack_node){0};
        }
    }
    pthread_mutex_lock(&reading->pool->lock);
    bool last = --directory->left == 0;
    pthread_mutex_unlock(&reading->pool->lock);
    if (last)
        end_directory(reading, directory);
}

/* Has all names looked at, by this thread and others. */
static void share_out(struct tree_reading *reading, struct pack_tree_directory *directory)
{
    size_t count = directory->count;
    pthread_mutex_lock(&reading->pool->lock);
    directory->left = 1;
    for (size_t first = NAMES_AT_ONCE; first < count; first += NAMES_AT_ONCE) {
        size_t open = reading->pool->open;
        push(reading, directory, first, MIN(first + NAMES_AT_ONCE, count));
        directory->left += reading->pool->open - open;
    }
    pthread_mutex_unlock(&reading->pool->lock);
    look_at(reading, directory, 0, MIN(count, (size_t)NAMES_AT_ONCE));
}

/* @param fd of the directory; the stream's from now on */
static void read_opened(struct tree_reading *reading, int fd, struct pack_tree_directory *directory)
{
    struct pack_node *node = directory->node;
    int result = xattrs_read(fd, &node->xattrs);
    if (result < 0 && result != -ENOMEM && result != -E2BIG) {
        warn(reading, node, "", "its extended attributes or ACLs cannot be read: they are lost");
        result = 0;
    }
    directory->stream = fdopendir(fd);
    if (!directory->stream)
        result = -errno;
    else if (result == 0)
        result = list(directory->stream, directory);
    if (result == 0) {
        share_out(reading, directory);
        return;
    }
    fail(reading, node, "", "cannot be read", -result);
    if (directory->stream)
        closedir(STEAL(directory->stream));
    else
        close(fd);
}

static void read_directory(struct tree_reading *reading, struct pack_tree_directory *directory)
{
    CLEANUP_FREE char *path = pack_tree_path(directory->node);
    int fd = path ? pack_tree_open(reading->tree, path, O_RDONLY | O_DIRECTORY) : -ENOMEM;
    if (fd < 0)
        fail(reading, directory->node, "", "cannot be opened", -fd);
    else
        read_opened(reading, fd, directory);
}

/* --- All of them ----------------------------------------------------------------------------- */

static void *read_main(void *argument);

/* Has up to so many threads read, if they can be had. With the lock held. */
static void start_threads(struct pool *pool, size_t wanted)
{
    while (pool->thread_count < wanted &&
           thread_start_with_stack(&pool->threads[pool->thread_count], THREAD_SMALL_STACK_BYTES,
                                   read_main, pool) == 0)
        pool->thread_count++;
}

/* Opens the root, which may be a link. Returns 0 or -errno. */
static int open_root(struct tree_reading *reading)
{
    struct pack_tree *tree = reading->tree;
    struct stat status;
    tree->fd = open(reading->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree->fd < 0 || fstat(tree->fd, &status) < 0)
        return -errno;
    tree->remote = device_kind(tree->fd) == DEVICE_REMOTE;
    tree->sizes_may_lie = device_files(tree->fd).sizes_may_lie;
    tree->root = calloc(1, sizeof(*tree->root));
    if (!tree->root || !(tree->root->name = strdup("")))
        return -ENOMEM;
    take_status(tree->root, &status, tree->remote);
    return reading->pool->options->preserve_symlinks
               ? 0
               : symlink_find_root(reading->root, &reading->links);
}

static void read_root(struct tree_reading *reading)
{
    struct pool *pool = reading->pool;
    int result = open_root(reading);
    pthread_mutex_lock(&pool->lock);
    if (result < 0 && pool->result == 0)
        pool->result = error_set(pool->error, -result, "%s cannot be opened: %s", reading->root,
                                 strerror(-result));
    if (result == 0 && reading->tree->remote)
        start_threads(pool, REMOTE_THREADS);
    if (result == 0)
        push_directory(reading, reading->tree->root);
    pthread_mutex_unlock(&pool->lock);
}

/* Does a task. What was begun with is ended, also when another one has failed. */
static void perform(const struct task *task, bool stopped)
{
    if (task->end > 0)
        look_at(task->reading, task->directory, task->first, task->end);
    else if (task->directory && !stopped)
        read_directory(task->reading, task->directory);
    else if (!stopped)
        read_root(task->reading);
}

static void *read_main(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    while (pool->open > 0) {
        struct task *task = pool->tasks;
        if (!task) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pool->tasks = task->next;
        bool stopped = pool->result < 0;
        pthread_mutex_unlock(&pool->lock);
        perform(task, stopped);
        free(task);
        pthread_mutex_lock(&pool->lock);
        if (--pool->open == 0)
            pthread_cond_broadcast(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Reads all, with this thread and others. */
static void read_all(struct pool *pool, struct tree_reading *readings, size_t count)
{
    cpu_set_t set;
    size_t local = MIN(processors_find(&set), LOCAL_THREADS_MAX);
    pthread_mutex_lock(&pool->lock);
    for (size_t i = count; i > 0; i--)
        push(&readings[i - 1], NULL, 0, 0);
    start_threads(pool, MAX(local, 4)); /* a root may be far away */
    pthread_mutex_unlock(&pool->lock);
    read_main(pool);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
}

int pack_trees_read(const char *const *roots, size_t count, const struct pack_tree_options *options,
                    struct pack_tree *ret, struct pkgcache_error *error)
{
    struct pool pool = {.options = options, .error = error};
    CLEANUP_FREE struct tree_reading *readings = calloc(count + 1, sizeof(*readings));
    if (!readings)
        return error_set(error, ENOMEM, "out of memory");
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.changed, NULL);
    for (size_t i = 0; i < count; i++) {
        ret[i] = (struct pack_tree){.fd = -1};
        readings[i] = (struct tree_reading){.pool = &pool, .root = roots[i], .tree = &ret[i]};
    }
    read_all(&pool, readings, count);
    int result = pool.result;
    for (size_t i = 0; i < count; i++) {
        if (result == 0 && pack_tree_settle(&ret[i]) < 0)
            result = error_set(error, ENOMEM, "%s: out of memory", roots[i]);
        symlink_forget_root(&readings[i].links);
    }
    pthread_cond_destroy(&pool.changed);
    pthread_mutex_destroy(&pool.lock);
    for (size_t i = 0; i < count && result < 0; i++)
        pack_tree_free(&ret[i]);
    return result;
}
