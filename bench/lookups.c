/*
 * How long a look-up takes in process, by how many variants the cache holds.
 *
 *     lookups DIRECTORY [VARIANTS...]
 *
 * Makes a cache of each size under DIRECTORY (hash directories and sidecars as rez writes them,
 * with empty payloads) and prints median and 99th percentile of looking up variants at random, with
 * the touch and without.
 */
#include "cache/pkgcache.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include "cache/store/handle.h"
#include "cache/store/sidecar.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LOOK_UPS = 20000,
    MEDIAN = LOOK_UPS / 2,
    PERCENTILE_99 = LOOK_UPS / 100 * 99,
    WARM_UP = 2000
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct pkgcache_handle *make_handle(size_t number)
{
    char name[32];
    struct pkgcache_handle *handle;
    snprintf(name, sizeof(name), "package%zu", number / 10);
    if (handle_create("/svr/packages", name, "1.0.0", (int32_t)(number % 10), &handle, NULL) < 0)
        die("handle");
    return handle;
}

static void make_variant(const char *cache, const struct pkgcache_handle *handle)
{
    char path[PATH_MAX];
    struct text text = {0};
    int length = snprintf(path, sizeof(path), "%s/%s", cache, handle->relative_path);
    for (char *slash = path + strlen(cache) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    mkdir(path, 0777);
    snprintf(path + length, sizeof(path) - (size_t)length, "/a");
    if (mkdir(path, 0777) < 0) /* another variant has this hash directory */
        return;
    snprintf(path + length, sizeof(path) - (size_t)length, "/a.json");
    FILE *file = fopen(path, "w");
    sidecar_write(&text, handle, "/svr/packages/some/where/1.0.0", NULL);
    if (!file || fwrite(text.bytes, 1, text.length, file) != text.length || fclose(file) != 0)
        die(path);
    text_free(&text);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void measure(struct pkgcache *cache, struct pkgcache_handle **handles, size_t count,
                    bool touch)
{
    static uint64_t times[LOOK_UPS];
    char path[PATH_MAX];
    for (size_t i = 0; i < LOOK_UPS + WARM_UP; i++) {
        const struct pkgcache_handle *handle = handles[(size_t)random() % count];
        uint64_t start_ns = clock_monotonic_ns();
        int result = pkgcache_get_into(cache, handle, touch, path, sizeof(path), NULL, NULL);
        uint64_t end_ns = clock_monotonic_ns();
        if (result < 0) /* see make_variant */
            die("look-up");
        if (i >= WARM_UP)
            times[i - WARM_UP] = end_ns - start_ns;
    }
    qsort(times, LOOK_UPS, sizeof(times[0]), compare);
    printf("%8zu variants, %-12s median %5.2f us, 99 %% %6.2f us\n", count,
           touch ? "touched:" : "not touched:", (double)times[MEDIAN] / 1000,
           (double)times[PERCENTILE_99] / 1000);
}

static void run(const char *directory, size_t count)
{
    char path[PATH_MAX];
    struct pkgcache *cache;
    struct pkgcache_error error;
    snprintf(path, sizeof(path), "%s/cache-%zu", directory, count);
    struct pkgcache_handle **handles = calloc(count, sizeof(*handles));
    bool there = access(path, F_OK) == 0;
    if (pkgcache_open(path, NULL, true, &cache, &error) < 0 || !handles)
        die(path);
    for (size_t i = 0; i < count; i++) {
        handles[i] = make_handle(i);
        if (!there)
            make_variant(path, handles[i]);
    }
    measure(cache, handles, count, false);
    measure(cache, handles, count, true);
    for (size_t i = 0; i < count; i++)
        handle_free(handles[i]);
    free(handles);
    pkgcache_close(cache);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: lookups DIRECTORY [VARIANTS...]\n");
        return 2;
    }
    if (argc == 2) {
        run(argv[1], 100);
        run(argv[1], 10000);
        run(argv[1], 100000);
    }
    for (int i = 2; i < argc; i++)
        run(argv[1], (size_t)strtoul(argv[i], NULL, 10));
    return 0;
}
