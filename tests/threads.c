/*
 * One cache, used by many threads at once as pkgcache.h allows: eight look up, list and count
 * while one adds and removes. For the thread sanitizer to watch; and what is found must be whole.
 *
 *     threads DIRECTORY   makes a cache and a package in there
 */
#include "cache/pkgcache.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
    LOOKERS = 8,
    VARIANTS = 4,
    ROUNDS = 20,
};

struct shared {
    struct pkgcache *cache;
    struct pkgcache_handle *handles[VARIANTS];
    char root[4096];
    atomic_bool done;
};

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "threads: %s\n", what);
    abort();
}

/* What was found may be removed and deleted by now, but was never half a payload. */
static void check_root(const char *root)
{
    struct stat status;
    CLEANUP_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstatat(fd, "file", &status, 0) == 0)
        check(status.st_size == 5, "a payload is not whole");
}

static void look_up_each(struct shared *shared)
{
    for (size_t i = 0; i < VARIANTS; i++) {
        CLEANUP_FREE char *root = NULL;
        int result = pkgcache_get(shared->cache, shared->handles[i], true, &root, NULL, NULL);
        check(result >= 0, "get failed");
        if (root)
            check_root(root);
        char buffer[4096];
        result = pkgcache_get_into(shared->cache, shared->handles[i], true, buffer, sizeof(buffer),
                                   NULL, NULL);
        check(result >= 0, "get_into failed");
        if (result > 0)
            check_root(buffer);
    }
}

static void look_up_many(struct shared *shared)
{
    struct pkgcache_result results[VARIANTS];
    int result =
        pkgcache_get_many(shared->cache, (const struct pkgcache_handle *const *)shared->handles,
                          VARIANTS, true, results, sizeof(*results), NULL);
    check(result == 0, "get_many failed");
    pkgcache_results_free(results, sizeof(*results), VARIANTS);
}

static int count(void *context, const struct pkgcache_entry *entry)
{
    size_t *entries = context;
    check(*pkgcache_handle_name(entry->handle), "an entry has no name");
    ++*entries;
    return 0;
}

static void list(struct shared *shared)
{
    size_t entries = 0;
    check(pkgcache_list(shared->cache, count, &entries, NULL) == 0, "list failed");
}

static void count_all(struct shared *shared)
{
    struct pkgcache_stats stats = {.size = sizeof(stats)};
    check(pkgcache_stats(shared->cache, &stats, NULL) == 0, "stats failed");
    check(stats.variants <= VARIANTS, "there are more variants than were added");
}

static void *look(void *argument)
{
    struct shared *shared = argument;
    while (!atomic_load(&shared->done)) {
        look_up_each(shared);
        look_up_many(shared);
        list(shared);
        count_all(shared);
        check(*pkgcache_path(shared->cache) == '/', "the path is not absolute");
    }
    return NULL;
}

static void add(struct shared *shared, size_t number)
{
    struct pkgcache_error error;
    struct pkgcache_result result;
    struct pkgcache_variant variant = {.handle = shared->handles[number], .root = shared->root};
    int code = pkgcache_add(shared->cache, &variant, &result, &error);
    check(code == 0, "add failed");
    check(result.status == PKGCACHE_CREATED, result.reason ? result.reason : "was not created");
    pkgcache_results_free(&result, sizeof(result), 1);
}

static void change(struct shared *shared)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < VARIANTS; i++)
            add(shared, i);
        for (size_t i = 0; i < VARIANTS; i++)
            check(pkgcache_remove(shared->cache, shared->handles[i], NULL, NULL) == 1,
                  "was not removed");
        struct pkgcache_clean clean = {.size = sizeof(clean)};
        check(pkgcache_clean(shared->cache, &clean, NULL) == 0, "clean failed");
    }
}

static void make_package(struct shared *shared, const char *directory)
{
    char path[4200];
    snprintf(shared->root, sizeof(shared->root), "%s/package", directory);
    check(mkdir(shared->root, 0777) == 0, "cannot make the package");
    snprintf(path, sizeof(path), "%s/file", shared->root);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check(fd >= 0 && write(fd, "whole", 5) == 5, "cannot write the package");
}

static void open_shared(struct shared *shared, const char *directory)
{
    char path[4096];
    struct pkgcache_options options = {.size = sizeof(options),
                                       .durability = PKGCACHE_DURABILITY_NONE};
    make_package(shared, directory);
    snprintf(path, sizeof(path), "%s/cache", directory);
    check(pkgcache_open(path, &options, true, &shared->cache, NULL) == 0, "cannot open the cache");
    for (int i = 0; i < VARIANTS; i++) {
        int result =
            pkgcache_handle_new("/svr/packages", "foo", "1.0", i, &shared->handles[i], NULL);
        check(result == 0, "cannot make a handle");
    }
}

int main(int argc, char **argv)
{
    struct shared shared = {0};
    pthread_t lookers[LOOKERS];
    check(argc == 2, "usage: threads DIRECTORY");
    open_shared(&shared, argv[1]);
    for (size_t i = 0; i < LOOKERS; i++)
        check(pthread_create(&lookers[i], NULL, look, &shared) == 0, "cannot start a thread");
    change(&shared);
    atomic_store(&shared.done, true);
    for (size_t i = 0; i < LOOKERS; i++)
        pthread_join(lookers[i], NULL);
    for (size_t i = 0; i < VARIANTS; i++)
        pkgcache_handle_free(shared.handles[i]);
    pkgcache_close(shared.cache);
    return 0;
}
