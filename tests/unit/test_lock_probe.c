/*
 * Whether a file system can carry a cache: on stand-ins for those that cannot. Real ones:
 * program/test_filesystems.py.
 */
#include "tests/unit/lock_support.h"
#include "tests/unit/refuse.h"

#include "cache/lock/lock_probe.h"
#include "cache/pkgcache.h"

#include <dirent.h>
#include <errno.h>

/* As mergerfs without use_ino has it: the second name of a file has an inode number of its own. */
static bool inode_per_name;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are reserved */
int statx(int dirfd, const char *restrict name, int flags, unsigned mask,
          struct statx *restrict status)
{
    long result = syscall(SYS_statx, dirfd, name, flags, mask, status);
    size_t length = strlen(name);
    bool second =
        strcmp(name, LOCK_PUBLIC_NAME) == 0 || (length > 2 && strcmp(name + length - 2, "-2") == 0);
    if (result == 0 && inode_per_name && second)
        status->stx_ino += 1000000;
    return (int)result;
}

static int count_entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    cr_assert(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void expect_lack(const char *word)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    char sys_path[PLACE_BYTES + 8];
    struct pkgcache_error error = {0};
    int result = lock_probe(cache.sys_fd, cache.path, &error);
    cr_expect(result == -EOPNOTSUPP && error.code == EOPNOTSUPP, "%d", result);
    cr_expect(strstr(error.message, cache.path) == error.message, "%s", error.message);
    cr_expect(strstr(error.message, word), "\"%s\" is not in: %s", word, error.message);
    snprintf(sys_path, sizeof(sys_path), "%s/.sys", cache.path);
    cr_expect(count_entries(sys_path) == 0);
}

Test(lock_probe, finds_nothing_lacking)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    char sys_path[PLACE_BYTES + 8];
    cr_expect(lock_probe(cache.sys_fd, cache.path, NULL) == 0);
    snprintf(sys_path, sizeof(sys_path), "%s/.sys", cache.path);
    cr_expect(count_entries(sys_path) == 0);
}

Test(lock_probe, says_that_it_could_not_try)
{
    CLEANUP_CLOSE int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_expect(lock_probe(fd, "/proc", NULL) == 1);
}

Test(lock_probe, misses_hard_links)
{
    if (!refuse_call(SYS_linkat, EPERM))
        cr_skip_test("no seccomp");
    expect_lack("hard links");
}

Test(lock_probe, misses_inode_numbers)
{
    inode_per_name = true;
    expect_lack("use_ino");
}

Test(lock_probe, misses_locks)
{
    if (!refuse_call_with(SYS_fcntl, F_OFD_SETLK, EINVAL))
        cr_skip_test("no seccomp");
    expect_lack("open-file-description locks");
}

Test(lock_probe, misses_locks_that_keep_others_out)
{
    if (!refuse_call_with(SYS_fcntl, F_OFD_SETLK, 0))
        cr_skip_test("no seccomp");
    expect_lack("two at a time");
}

/* A cache that was made elsewhere: the lock does not stay, or rez would wait for it for ever. */
Test(lock_probe, leaves_no_lock_behind)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    inode_per_name = true;
    struct lock_request request = {.sys_fd = cache.sys_fd,
                                   .cache_path = cache.path,
                                   .deadline_ns = clock_monotonic_ns() + 60 * NS_PER_S};
    cr_expect(lock_acquire(&request, &lock, &error) == -EOPNOTSUPP);
    cr_expect(strstr(error.message, "use_ino"), "%s", error.message);
    inode_per_name = false;
    cr_expect(faccessat(cache.sys_fd, LOCK_PUBLIC_NAME, F_OK, 0) < 0 && errno == ENOENT);
}

/* And one that was left there when its holder was killed, before the cache was mounted so. */
Test(lock_probe, knows_why_a_name_of_the_lock_is_missing)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    struct lock_request request = {.sys_fd = cache.sys_fd,
                                   .cache_path = cache.path,
                                   .deadline_ns = clock_monotonic_ns() + 60 * NS_PER_S};
    cr_assert(lock_acquire(&request, &lock, &error) == 0);
    cr_assert(lock_release(lock) == 0);
    cr_assert(linkat(cache.sys_fd, LOCK_PRIVATE_NAME, cache.sys_fd, LOCK_PUBLIC_NAME, 0) == 0);
    inode_per_name = true;
    cr_expect(lock_acquire(&request, &lock, &error) == -EOPNOTSUPP);
    cr_expect(strstr(error.message, "use_ino"), "%s", error.message);
}

Test(lock_probe, leaves_no_cache_behind)
{
    CLEANUP_CACHE struct test_cache place = make_cache();
    struct pkgcache *cache = NULL;
    struct pkgcache_error error = {0};
    char path[PLACE_BYTES + 8];
    snprintf(path, sizeof(path), "%s/none", place.path);
    inode_per_name = true;
    cr_expect(pkgcache_open(path, NULL, true, &cache, &error) == -EOPNOTSUPP);
    cr_expect(access(path, F_OK) < 0 && errno == ENOENT);
    cr_assert(mkdir(path, 0755) == 0);
    cr_expect(pkgcache_open(path, NULL, true, &cache, &error) == -EOPNOTSUPP);
    cr_expect(access(path, F_OK) == 0 && count_entries(path) == 0);
    inode_per_name = false;
    cr_expect(pkgcache_open(path, NULL, true, &cache, &error) == 0, "%s", error.message);
    pkgcache_close(cache);
}
