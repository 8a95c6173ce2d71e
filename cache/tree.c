/* Going through a cache. What starts with a dot at the top is not packages: rez's rule. */
#include "cache/tree.h"

#include "cache/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

enum { LEVELS = 3 }; /* name, version, hash */

struct walk {
    int (*visit)(void *context, int hash_fd, const char *path);
    void *context;
    char path[3 * (NAME_MAX + 1)];
};

static int visit_level(struct walk *walk, int fd, size_t length, int level)
{
    if (level == LEVELS)
        return walk->visit(walk->context, fd, walk->path);
    struct names names;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if ((level == 0 && *name == '.') || (names.type != DT_DIR && names.type != DT_UNKNOWN))
            continue;
        CLEANUP_CLOSE int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            continue; /* gone, or not ours to see */
        int added = snprintf(walk->path + length, sizeof(walk->path) - length, "%s%s",
                             length ? "/" : "", name);
        result = visit_level(walk, below, length + (size_t)added, level + 1);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

int tree_visit(const struct pkgcache *cache,
               int (*visit)(void *context, int hash_fd, const char *path), void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    return visit_level(&walk, cache->fd, 0, 0);
}
