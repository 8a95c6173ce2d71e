/*
 * Going through a cache. What starts with a dot at the top is not packages: rez's rule.
 *
 * A cache of 100,000 variants is 200,000 small reads. When the cache turns out to be one of many
 * packages, several threads take them in turns: on a cold disk it is the waiting that they share,
 * else the work.
 */
#include "cache/store/tree.h"

#include "cache/util/names.h"
#include "cache/util/text.h"

#include "engine/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum {
    THREADS_MAX = 8,
    MANY_PACKAGES = 16,
};

/* One walk, shared by its threads. */
struct walk {
    int (*visit)(void *context, int hash_fd, const char *path);
    void *context;
    int fd;               /* the cache's */
    pthread_mutex_t lock; /* for what follows */
    struct names packages;
    int result; /* not 0: no thread begins with another */
};

/* The directory a thread is in, relative to the cache. */
struct place {
    const struct walk *walk;
    size_t length;
    char path[TREE_HASH * (NAME_MAX + 1)];
};

static int visit_names(struct place *place, int fd, int level);

/* Goes into a directory of this level: 1 is a package. */
static int visit_name(struct place *place, int fd, const char *name, int level)
{
    CLEANUP_CLOSE int below = names_open_directory(fd, name);
    if (below < 0) /* gone, or not ours to see */
        return 0;
    size_t length = place->length;
    int added = snprintf(place->path + length, sizeof(place->path) - length, "%s%s",
                         length ? "/" : "", name);
    place->length += (size_t)added;
    int result = level == TREE_HASH ? place->walk->visit(place->walk->context, below, place->path)
                                    : visit_names(place, below, level);
    place->length = length;
    return result;
}

static bool may_be_directory(const struct names *names)
{
    return names->type == DT_DIR || names->type == DT_UNKNOWN;
}

static int visit_names(struct place *place, int fd, int level)
{
    struct names names;
    int result = 0;
    names_borrow(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        if (may_be_directory(&names))
            result = visit_name(place, fd, name, level + 1);
    return result ? result : names.error;
}

/* Takes the next package; false: there is none, or the walk is over. */
static bool take_package(struct walk *walk, char ret_name[static NAME_MAX + 1])
{
    const char *name = NULL;
    pthread_mutex_lock(&walk->lock);
    while (walk->result == 0 && (name = names_next(&walk->packages)))
        if (*name != '.' && may_be_directory(&walk->packages))
            break;
    if (walk->result != 0)
        name = NULL;
    if (name)
        strcpy(ret_name, name);
    pthread_mutex_unlock(&walk->lock);
    return name;
}

static void end_walk(struct walk *walk, int result)
{
    pthread_mutex_lock(&walk->lock);
    if (walk->result == 0)
        walk->result = result;
    pthread_mutex_unlock(&walk->lock);
}

/* Visits one package. Returns false when there was none left. */
static bool visit_package(struct walk *walk)
{
    char name[NAME_MAX + 1];
    struct place place = {.walk = walk};
    if (!take_package(walk, name))
        return false;
    int result = visit_name(&place, walk->fd, name, 1);
    if (result)
        end_walk(walk, result);
    return true;
}

static void *walk_main(void *argument)
{
    while (visit_package(argument))
        continue;
    return NULL;
}

static int walk_with(const struct pkgcache *cache, unsigned threads_max,
                     int (*visit)(void *context, int hash_fd, const char *path), void *context)
{
    pthread_t threads[THREADS_MAX];
    unsigned count = 0;
    struct walk walk = {.visit = visit, .context = context, .fd = cache->fd};
    walk.result = names_open(&walk.packages, cache->fd);
    pthread_mutex_init(&walk.lock, NULL);
    for (size_t own = 0; visit_package(&walk); own++)
        while (own == MANY_PACKAGES && count < threads_max &&
               thread_start(&threads[count], walk_main, &walk) == 0)
            count++;
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&walk.lock);
    int result = walk.result ? walk.result : walk.packages.error;
    names_close(&walk.packages);
    return result;
}

int tree_visit(const struct pkgcache *cache,
               int (*visit)(void *context, int hash_fd, const char *path), void *context)
{
    return walk_with(cache, 0, visit, context);
}

int tree_visit_threaded(const struct pkgcache *cache,
                        int (*visit)(void *context, int hash_fd, const char *path), void *context)
{
    return walk_with(cache, THREADS_MAX, visit, context);
}

/* A walk in the order of names, by one thread. */
struct sorted_walk {
    int (*visit)(void *context, int fd, const char *path);
    void *context;
    enum tree_level level; /* of those that are visited */
    char path[TREE_HASH * (NAME_MAX + 1)];
};

/* Appends a name to the path, at `length`. Returns the new length. */
static size_t go_down(struct sorted_walk *walk, size_t length, const char *name)
{
    return length + (size_t)snprintf(walk->path + length, sizeof(walk->path) - length, "%s%s",
                                     length ? "/" : "", name);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The names of a level in their order, the last one NULL. `text` is where they stand. */
static int sort_names(int fd, int level, struct text *text, char ***ret)
{
    struct names names;
    size_t count = 0;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        if ((level > 0 || *name != '.') && may_be_directory(&names)) {
            text_append(text, name, strlen(name) + 1);
            count++;
        }
    if (result == 0)
        result = names.error ? names.error : text->error;
    names_close(&names);
    char **sorted = result == 0 ? calloc(count + 1, sizeof(*sorted)) : NULL;
    if (!sorted)
        return result ? result : -ENOMEM;
    char *at = text->bytes;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        sorted[i] = at;
    qsort(sorted, count, sizeof(*sorted), compare_names);
    *ret = sorted;
    return 0;
}

/* What is left of `after` on the level below, when this level's part of it is `name`; else "". */
static const char *after_below(const char *after, const char *name)
{
    size_t length = strlen(name);
    bool same = strncmp(after, name, length) == 0 && after[length] == '/';
    return same ? after + length + 1 : "";
}

static int visit_sorted(struct sorted_walk *walk, int fd, size_t length, int level,
                        const char *after)
{
    if (level == (int)walk->level)
        return walk->visit(walk->context, fd, walk->path);
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_FREE char **names = NULL;
    char first[NAME_MAX + 1];
    snprintf(first, sizeof(first), "%.*s", (int)MIN(strcspn(after, "/"), (size_t)NAME_MAX), after);
    int result = sort_names(fd, level, &text, &names);
    for (size_t i = 0; result == 0 && names[i]; i++) {
        int order = strcmp(names[i], first);
        if (order < 0 || (order == 0 && level == (int)walk->level - 1))
            continue;
        CLEANUP_CLOSE int below = names_open_directory(fd, names[i]);
        if (below < 0)
            continue; /* gone, or not ours to see */
        result = visit_sorted(walk, below, go_down(walk, length, names[i]), level + 1,
                              after_below(after, names[i]));
    }
    return result;
}

int tree_visit_after(const struct pkgcache *cache, const char *after,
                     int (*visit)(void *context, int hash_fd, const char *path), void *context)
{
    struct sorted_walk walk = {.visit = visit, .context = context, .level = TREE_HASH};
    return visit_sorted(&walk, cache->fd, 0, 0, after);
}

int tree_visit_level(const struct pkgcache *cache, enum tree_level level,
                     int (*visit)(void *context, int fd, const char *path), void *context)
{
    struct sorted_walk walk = {.visit = visit, .context = context, .level = level};
    return visit_sorted(&walk, cache->fd, 0, 0, "");
}

int tree_open(const struct pkgcache *cache, const char *path)
{
    CLEANUP_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    CLEANUP_CLOSE int fd = fcntl(cache->fd, F_DUPFD_CLOEXEC, 0);
    char *rest = copy;
    for (char *name; fd >= 0 && (name = strsep(&rest, "/"));) {
        int below = names_open_directory(fd, name);
        int result = below < 0 ? -errno : 0;
        close(fd);
        fd = below;
        if (result < 0)
            return result;
    }
    return fd < 0 ? -errno : steal_fd(&fd);
}
