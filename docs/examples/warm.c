/*
 * Brings variants into a cache, says how far it is, and stops on Ctrl-C: what is finished by then
 * stays, what is not leaves nothing.
 *
 *     cc warm.c $(pkg-config --cflags --libs libpkgcache) -o warm
 *     ./warm CACHE HANDLE ROOT [HANDLE ROOT]...
 */
#include <pkgcache/pkgcache.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    fprintf(stderr, "%zu of %zu variants, %llu files, %llu bytes\n", progress->variants_done,
            progress->variants, (unsigned long long)progress->files,
            (unsigned long long)progress->bytes);
    return 0; /* anything else would stop the warm, as Ctrl-C does */
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    const struct pkgcache_variant *variants = context;
    printf("%s %s %s\n", pkgcache_handle_name(variants[index].handle),
           pkgcache_status_name(result->status), result->root ? result->root : result->reason);
}

/* Any descriptor will do that becomes readable when it is time to stop. */
static int open_cancel_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int warm(const char *path, struct pkgcache_variant *variants,
                struct pkgcache_result *results, size_t count)
{
    struct pkgcache_error error;
    struct pkgcache *cache = NULL;
    struct pkgcache_options options = {
        .size = sizeof(options),
        .durability = PKGCACHE_DURABILITY_NONE, /* this cache may be lost in a power cut */
    };
    struct pkgcache_warm what = {
        .size = sizeof(what),
        .variants = variants,
        .variant_size = sizeof(*variants),
        .count = count,
        .result_size = sizeof(*results),
        .cancel_fd = open_cancel_fd(),
        .on_progress = on_progress,
        .on_result = on_result,
        .context = variants,
    };
    int result = pkgcache_open(path, &options, true, &cache, &error);
    if (result == 0)
        result = pkgcache_warm(cache, &what, results, &error);
    if (result < 0)
        fprintf(stderr, "warm: %s\n", error.message);
    pkgcache_close(cache);
    close(what.cancel_fd);
    return result;
}

int main(int argc, char **argv)
{
    struct pkgcache_error error;
    int failed = 0;
    if (argc < 4 || argc % 2 != 0)
        return 2;
    size_t count = (size_t)(argc - 2) / 2;
    struct pkgcache_handle **handles = calloc(count, sizeof(*handles));
    struct pkgcache_variant *variants = calloc(count, sizeof(*variants));
    struct pkgcache_result *results = calloc(count, sizeof(*results));
    if (!handles || !variants || !results)
        abort();

    for (size_t i = 0; i < count && !failed; i++) {
        const char *text = argv[2 + 2 * i];
        failed = pkgcache_handle_parse(text, strlen(text), &handles[i], &error) < 0;
        variants[i] = (struct pkgcache_variant){.handle = handles[i], .root = argv[3 + 2 * i]};
    }
    if (failed)
        fprintf(stderr, "warm: %s\n", error.message);
    else
        failed = warm(argv[1], variants, results, count) < 0;
    for (size_t i = 0; i < count; i++)
        failed |= !results[i].root;

    pkgcache_results_free(results, sizeof(*results), count);
    for (size_t i = 0; i < count; i++)
        pkgcache_handle_free(handles[i]);
    free(results);
    free(variants);
    free(handles);
    return failed;
}
