/*
 * For the tests of the lock: caches to lock, and a rez stand-in that does what rez 3.4.0 does to
 * `.sys`, no more and no less: a unique file, a link, and both unlinked in that order.
 */
#pragma once

#include "tests/unit/place.h"

#include "cache/lock/lock.h"
#include "cache/lock/rezlock.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NEGATIVE_HASH "-6103455581228787184"
#define POSITIVE_HASH "6000000000000000001" /* its zeros leave one way to split */

struct test_cache {
    char path[PLACE_BYTES];
    int sys_fd;
};

static inline void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static inline struct test_cache make_cache(void)
{
    struct test_cache cache;
    char sys_path[80];
    cr_assert(place_make(cache.path));
    snprintf(sys_path, sizeof(sys_path), "%s/.sys", cache.path);
    cr_assert(mkdir(sys_path, 0755) == 0);
    cache.sys_fd = open(sys_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(cache.sys_fd >= 0);
    return cache;
}

static inline int remove_entry(const char *path, const struct stat *status, int type,
                               struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static inline void remove_cache(struct test_cache *cache)
{
    close(cache->sys_fd);
    nftw(cache->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#define CLEANUP_CACHE __attribute__((cleanup(remove_cache)))

/* Skips the test; a skip jumps over cleanups. */
#define skip_with_cache(cache, ...) \
    do {                            \
        remove_cache(cache);        \
        cr_skip_test(__VA_ARGS__);  \
    } while (0)

static inline uint64_t in_ms(uint64_t ms)
{
    return clock_monotonic_ns() + ms * NS_PER_MS;
}

static inline struct lock_request request_for(const struct test_cache *cache, uint64_t timeout_ms)
{
    return (struct lock_request){
        .sys_fd = cache->sys_fd, .cache_path = cache->path, .deadline_ns = in_ms(timeout_ms)};
}

static inline int lock_within(const struct test_cache *cache, uint64_t timeout_ms,
                              struct lock **ret_lock, struct pkgcache_error *error)
{
    struct lock_request request = request_for(cache, timeout_ms);
    return lock_acquire(&request, ret_lock, error);
}

static inline bool exists(const struct test_cache *cache, const char *name)
{
    return faccessat(cache->sys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A unique file's name, as the process `pid` would make it. */
static inline void unique_name(char *ret_name, size_t size, const char *host, pid_t pid,
                               const char *hash)
{
    char this_host[HOST_NAME_MAX + 1];
    cr_assert(gethostname(this_host, sizeof(this_host)) == 0);
    snprintf(ret_name, size, "%s-455e6b80.%d%s", host ? host : this_host, pid, hash);
}

static inline void create_file(const struct test_cache *cache, const char *name)
{
    int fd = openat(cache->sys_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    cr_assert(fd >= 0, "%s: %m", name);
    close(fd);
}

static inline int link_public(const struct test_cache *cache, const char *name)
{
    return linkat(cache->sys_fd, name, cache->sys_fd, ".lock.lock", 0) < 0 ? -errno : 0;
}

/* rez's acquire: as often as `attempts`, `pause_ms` apart. */
static inline bool rez_acquire(const struct test_cache *cache, const char *name, int attempts,
                               unsigned pause_ms)
{
    struct stat status;
    create_file(cache, name);
    for (int i = 0; i < attempts; i++) {
        if (link_public(cache, name) == 0)
            return true;
        if (fstatat(cache->sys_fd, name, &status, 0) < 0)
            abort(); /* rez would die of FileNotFoundError */
        if (status.st_nlink == 2)
            return true;
        sleep_ms(pause_ms);
    }
    unlinkat(cache->sys_fd, name, 0);
    return false;
}

static inline void rez_release(const struct test_cache *cache, const char *name)
{
    if (unlinkat(cache->sys_fd, name, 0) < 0 || unlinkat(cache->sys_fd, ".lock.lock", 0) < 0)
        abort();
}

/* Forks; the child is killed when the test ends, however it ends. Must not return in the child. */
static inline pid_t fork_child(void)
{
    pid_t parent = getpid(), pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

static inline void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    cr_expect(waitpid(pid, NULL, 0) == pid);
}

/* A rez that has the lock and keeps it. Returns when it has. */
static inline pid_t start_rez(const struct test_cache *cache, const char *hash, char *ret_name,
                              size_t size)
{
    int ready[2];
    char byte;
    cr_assert(pipe2(ready, O_CLOEXEC) == 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        char name[128];
        unique_name(name, sizeof(name), NULL, getpid(), hash);
        if (rez_acquire(cache, name, 1, 0) && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    cr_assert(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    unique_name(ret_name, size, NULL, pid, hash);
    return pid;
}
