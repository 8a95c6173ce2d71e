/* Leases through the library: made, released, and gone with their process. */
#include "tests/unit/place.h"

#include "cache/pkgcache.h"

#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char directory[PLACE_BYTES];
static struct pkgcache *cache;
static struct pkgcache_handle *handle;
static char *root;

static char *path_of(const char *name)
{
    char *path;
    cr_assert(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static void set_up(void)
{
    cr_assert(place_make(directory));
    CLEANUP_FREE char *source = path_of("source");
    CLEANUP_FREE char *cache_path = path_of("cache");
    struct pkgcache_result result;
    struct pkgcache_variant variant = {.root = source};
    struct pkgcache_error error;
    cr_assert(mkdir(source, 0755) == 0);
    cr_assert(pkgcache_open(cache_path, NULL, true, &cache, &error) == 0, "%s", error.message);
    cr_assert(pkgcache_handle_new("/svr", "foo", "1.0", -1, &handle, &error) == 0);
    variant.handle = handle;
    cr_assert(pkgcache_add(cache, &variant, &result, &error) == 0, "%s", error.message);
    cr_assert(result.status == PKGCACHE_CREATED);
    root = strdup(result.root);
    pkgcache_results_free(&result, sizeof(result), 1);
}

static void tear_down(void)
{
    pkgcache_handle_free(handle);
    pkgcache_close(cache);
    free(root);
    copyengine_remove_tree(NULL, AT_FDCWD, directory, NULL);
}

static pid_t start_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    cr_assert(pid > 0);
    return pid;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void lease(pid_t pid)
{
    CLEANUP_FREE char *leased = NULL;
    cr_assert(pkgcache_lease(cache, handle, pid, &leased, NULL, NULL) == 1);
    cr_expect(strcmp(leased, root) == 0);
}

/* Whether clean leaves the variant, which nobody has used for long. */
static bool is_kept(void)
{
    char sidecar[4096];
    struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    struct pkgcache_clean clean = {.size = sizeof(clean), .max_unused_days = 30};
    snprintf(sidecar, sizeof(sidecar), "%s.json", root);
    cr_assert(utimensat(AT_FDCWD, sidecar, long_ago, 0) == 0);
    cr_assert(pkgcache_clean(cache, &clean, NULL) == 0);
    return access(root, F_OK) == 0;
}

TestSuite(lease, .init = set_up, .fini = tear_down);

Test(lease, ends_with_its_process)
{
    pid_t pid = start_process();
    lease(pid);
    cr_expect(is_kept());
    end_process(pid);
    cr_expect(!is_kept());
}

Test(lease, is_released)
{
    pid_t pid = start_process();
    lease(pid);
    lease(pid);
    lease(getpid());
    cr_expect(pkgcache_release(cache, handle, pid, NULL) == 0);
    cr_expect(is_kept());
    cr_expect(pkgcache_release(cache, handle, pid, NULL) == 0);
    cr_expect(pkgcache_release(cache, handle, getpid(), NULL) == 0);
    cr_expect(!is_kept());
    end_process(pid);
}

Test(lease, is_not_for_the_dead)
{
    struct pkgcache_error error = {0};
    char *leased = (char *)"";
    enum pkgcache_status status = PKGCACHE_FOUND;
    pid_t pid = start_process();
    kill(pid, SIGKILL);
    while (waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    cr_expect(pkgcache_lease(cache, handle, pid, &leased, &status, &error) ==
              -ESRCH); /* a zombie */
    cr_expect(!leased && error.code == ESRCH && status == PKGCACHE_FAILED);
    waitpid(pid, NULL, 0);
    cr_expect(pkgcache_lease(cache, handle, pid, &leased, NULL, NULL) == -ESRCH);
    cr_expect(pkgcache_release(cache, handle, pid, NULL) == 0);
    cr_expect(pkgcache_lease(cache, handle, 0, &leased, NULL, NULL) < 0);
    cr_expect(pkgcache_lease(cache, handle, -1, &leased, NULL, NULL) < 0);
    cr_expect(!is_kept());
}

Test(lease, of_what_is_not_there)
{
    char *leased;
    enum pkgcache_status status;
    struct pkgcache_handle *other;
    cr_assert(pkgcache_handle_new("/svr", "bar", NULL, 0, &other, NULL) == 0);
    cr_expect(pkgcache_lease(cache, other, getpid(), &leased, &status, NULL) == 0);
    cr_expect(!leased && status == PKGCACHE_NOT_FOUND);
    cr_expect(pkgcache_release(cache, other, getpid(), NULL) == 0);
    pkgcache_handle_free(other);
}

/* Where leases cannot be written, nobody is told that there is one. */
Test(lease, that_cannot_be_written)
{
    char *leased;
    struct pkgcache_error error = {0};
    CLEANUP_FREE char *leases = path_of("cache/.sys/leases");
    CLEANUP_CLOSE int fd = open(leases, O_WRONLY | O_CREAT | O_EXCL, 0644);
    cr_assert(fd >= 0);
    cr_expect(pkgcache_lease(cache, handle, getpid(), &leased, NULL, &error) == -ENOTDIR);
    cr_expect(!leased && strstr(error.message, "lease"));
    cr_expect(is_kept()); /* and what cannot be read may be anything */
}
