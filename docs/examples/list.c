/*
 * What is in this cache, and what is queued?
 *
 *     cc list.c $(pkg-config --cflags --libs libpkgcache) -o list
 *     ./list CACHE
 */
#include <pkgcache/pkgcache.h>

#include <stdio.h>
#include <stdlib.h>

/* One call at a time, but not always on the thread that lists; what it is given ends with it. */
static int print(void *context, const struct pkgcache_entry *entry)
{
    size_t *count = context;
    char *handle = pkgcache_handle_json(entry->handle);
    printf("%s %s %s\n", pkgcache_status_name(entry->status),
           entry->cached_root ? entry->cached_root : "-", handle ? handle : "out of memory");
    free(handle);
    ++*count;
    return 0; /* anything else would end the listing */
}

int main(int argc, char **argv)
{
    struct pkgcache_error error;
    struct pkgcache *cache = NULL;
    size_t count = 0;
    if (argc != 2)
        return 2;

    int result = pkgcache_open(argv[1], NULL, false, &cache, &error);
    if (result == 0)
        result = pkgcache_list(cache, print, &count, &error);
    if (result < 0)
        fprintf(stderr, "list: %s\n", error.message);
    else
        printf("%zu in all\n", count);
    pkgcache_close(cache);
    return result < 0;
}
