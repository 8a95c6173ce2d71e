/*
 * Where is this variant?
 *
 *     cc look_up.c $(pkg-config --cflags --libs libpkgcache) -o look_up
 *     ./look_up CACHE HANDLE
 */
#include <pkgcache/pkgcache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct pkgcache_error error;
    struct pkgcache *cache = NULL;
    struct pkgcache_handle *handle = NULL;
    char *root = NULL;
    if (argc != 3)
        return 2;

    enum pkgcache_status status;
    int result = pkgcache_open(argv[1], NULL, false, &cache, &error);
    if (result == 0)
        result = pkgcache_handle_parse(argv[2], strlen(argv[2]), &handle, &error);
    if (result == 0)
        result = pkgcache_get(cache, handle, true, &root, &status, &error);

    if (result < 0)
        fprintf(stderr, "look_up: %s\n", error.message);
    else
        printf("%s\n", result > 0 ? root : pkgcache_status_name(status));
    free(root);
    pkgcache_handle_free(handle);
    pkgcache_close(cache);
    return result > 0 ? 0 : 1;
}
