/*
 * Where are all variants of a resolve? Those that are not cached are used from where they are.
 *
 *     cc look_up_many.c $(pkg-config --cflags --libs libpkgcache) -o look_up_many
 *     ./look_up_many CACHE HANDLE...
 */
#include <pkgcache/pkgcache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Handles do not change: a resolver makes each once and keeps it. */
static int parse_all(char **texts, size_t count, struct pkgcache_handle **ret,
                     struct pkgcache_error *ret_error)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = pkgcache_handle_parse(texts[i], strlen(texts[i]), &ret[i], ret_error);
    return result;
}

static void print(const struct pkgcache_handle *handle, const struct pkgcache_result *result)
{
    printf("%s %s %s\n", pkgcache_handle_name(handle), pkgcache_status_name(result->status),
           result->root ? result->root : "-");
}

int main(int argc, char **argv)
{
    struct pkgcache_error error;
    struct pkgcache *cache = NULL;
    if (argc < 3)
        return 2;
    size_t count = (size_t)argc - 2;
    struct pkgcache_handle **handles = calloc(count, sizeof(*handles));
    struct pkgcache_result *results = calloc(count, sizeof(*results));
    if (!handles || !results)
        abort();

    int result = pkgcache_open(argv[1], NULL, false, &cache, &error);
    if (result == 0)
        result = parse_all(argv + 2, count, handles, &error);
    if (result == 0) {
        result = pkgcache_get_many(cache, (const struct pkgcache_handle *const *)handles, count,
                                   true, results, sizeof(*results), &error);
        for (size_t i = 0; i < count; i++)
            print(handles[i], &results[i]);
    }

    if (result < 0)
        fprintf(stderr, "look_up_many: %s\n", error.message);
    pkgcache_results_free(results, sizeof(*results), count);
    for (size_t i = 0; i < count; i++)
        pkgcache_handle_free(handles[i]);
    free(results);
    free(handles);
    pkgcache_close(cache);
    return result < 0;
}
