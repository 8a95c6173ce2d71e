/* The lock, one situation at a time. What happens under load and kills: test_lock_crash.c. */
#include "tests/unit/lock_support.h"
#include "tests/unit/refuse.h"

#include "cache/lock/lock_record.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

static void expect_message(const struct pkgcache_error *error, const char *word)
{
    cr_expect(strstr(error->message, word), "\"%s\" is not in: %s", word, error->message);
}

static void expect_timeout(const struct test_cache *cache, uint64_t timeout_ms,
                           struct pkgcache_error *error)
{
    struct lock *lock = NULL;
    uint64_t start_ns = clock_monotonic_ns();
    int result = lock_within(cache, timeout_ms, &lock, error);
    uint64_t took_ms = (clock_monotonic_ns() - start_ns) / NS_PER_MS;
    cr_assert(result == -ETIMEDOUT, "%d %s", result, result < 0 ? error->message : "locked");
    cr_expect(took_ms >= timeout_ms, "%d ms", (int)took_ms);
    cr_expect(error->code == ETIMEDOUT);
    expect_message(error, "waited");
}

static void expect_lock(const struct test_cache *cache, uint64_t timeout_ms)
{
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    int result = lock_within(cache, timeout_ms, &lock, &error);
    cr_assert(result == 0, "%s", error.message);
    cr_expect(lock_release(lock) == 0);
}

Test(lock, is_acquired_and_released)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct stat status;
    for (int i = 0; i < 3; i++) {
        cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
        cr_expect(lock_still_held(lock) && !lock_was_adopted(lock));
        cr_assert(fstatat(cache.sys_fd, ".lock.lock", &status, 0) == 0);
        cr_expect(status.st_nlink == 2);
        cr_expect(lock_release(lock) == 0);
        cr_expect(!exists(&cache, ".lock.lock"));
    }
    cr_expect(lock_release(NULL) == 0);
}

Test(lock, is_seen_by_rez)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    char name[128];
    unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    cr_expect(!rez_acquire(&cache, name, 2, 1));
    lock_release(lock);
    cr_expect(rez_acquire(&cache, name, 1, 0));
    rez_release(&cache, name);
    expect_lock(&cache, 0);
}

Test(lock, names_our_own_holder)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    struct owner self;
    char pid[32];
    owner_of_this_process(&self);
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    expect_timeout(&cache, 50, &error);
    snprintf(pid, sizeof(pid), "pid %d", getpid());
    expect_message(&error, pid);
    expect_message(&error, self.host);
    expect_message(&error, self.command);
    expect_message(&error, "/.sys/.lock.lock: held for 0.");
    expect_message(&error, cache.path);
    cr_expect(lock_still_held(lock));
    lock_release(lock);
}

/* All who use a cache can write to the lock's file: what it says of others is not taken for true.
 */
Test(lock, names_its_holder_whatever_the_file_says)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    struct lock_record forged = {.held_since_ns = 1};
    struct owner self;
    char pid[32];
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    CLEANUP_CLOSE int fd = openat(cache.sys_fd, LOCK_PRIVATE_NAME, O_WRONLY | O_CLOEXEC);
    owner_of_this_process(&self);
    cr_assert(owner_of_process(getppid(), &self, &forged.holder) == 0);
    for (int broken = 0; broken <= 1; broken++) {
        if (broken)
            cr_assert(ftruncate(fd, 3) == 0);
        else
            lock_record_write(fd, &forged);
        expect_timeout(&cache, 50, &error);
        snprintf(pid, sizeof(pid), "(pid %d,", getpid());
        expect_message(&error, pid);
    }
    lock_release(lock);
}

/* Where others can make hard links, the lock's file may be a file of ours that they cannot read. */
Test(lock, writes_to_no_file_that_has_another_name)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    struct stat before, after;
    char path[80];
    cr_assert(fchmod(cache.sys_fd, 0777) == 0);
    snprintf(path, sizeof(path), "%s/private", cache.path);
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && linkat(AT_FDCWD, path, cache.sys_fd, LOCK_PRIVATE_NAME, 0) == 0);
    cr_assert(fstat(fd, &before) == 0);
    cr_expect(lock_within(&cache, 100, &lock, &error) == -EINVAL);
    expect_message(&error, "Delete it");
    cr_assert(fstat(fd, &after) == 0);
    cr_expect(after.st_size == 0 && after.st_mode == before.st_mode);
    cr_expect(!exists(&cache, ".lock.lock"));
    cr_assert(unlink(path) == 0); /* now it is the lock's own */
    cr_assert(write(fd, "text", 4) == 4);
    cr_expect(lock_within(&cache, 100, &lock, &error) == -EINVAL, "of somebody who moved it here");
    cr_assert(fstat(fd, &after) == 0);
    cr_expect(after.st_size == 4 && after.st_mode == before.st_mode);
    cr_assert(ftruncate(fd, 0) == 0);
    expect_lock(&cache, 0);
}

Test(lock, names_a_live_rez, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    char name[128], pid_text[32];
    pid_t pid = start_rez(&cache, NEGATIVE_HASH, name, sizeof(name));
    snprintf(pid_text, sizeof(pid_text), "(pid %d,", pid);
    expect_timeout(&cache, 2300, &error); /* old enough to be broken, if it were dead */
    expect_message(&error, name);
    expect_message(&error, pid_text);
    expect_message(&error, "by a rez process on this host");
    cr_expect(exists(&cache, ".lock.lock") && exists(&cache, name));
    kill_child(pid);
    expect_lock(&cache, 0);
}

Test(lock, names_the_rez_that_another_of_us_waits_for)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    char name[128];
    pid_t rez = start_rez(&cache, NEGATIVE_HASH, name, sizeof(name));
    pid_t other = fork_child();
    if (other == 0) {
        struct lock *lock;
        _exit(lock_within(&cache, 1000, &lock, NULL) != -ETIMEDOUT);
    }
    sleep_ms(100);
    expect_timeout(&cache, 100, &error);
    expect_message(&error, name);
    int status;
    waitpid(other, &status, 0);
    cr_expect(status == 0);
    kill_child(rez);
}

Test(lock, is_taken_from_a_dead_rez, .timeout = PATIENCE_S)
{
    static const char *const hashes[] = {NEGATIVE_HASH, POSITIVE_HASH, "-17"};
    struct test_cache caches[ARRAY_LENGTH(hashes)];
    char names[ARRAY_LENGTH(hashes)][128], waiter[128];
    struct pkgcache_error error = {0};
    /* Another rez, that lives, is waiting: without its file it would die. */
    unique_name(waiter, sizeof(waiter), NULL, getpid(), NEGATIVE_HASH);
    for (size_t i = 0; i < ARRAY_LENGTH(hashes); i++) {
        caches[i] = make_cache();
        kill_child(start_rez(&caches[i], hashes[i], names[i], sizeof(names[i])));
        create_file(&caches[i], waiter);
    }
    expect_timeout(&caches[0], 30, &error);
    expect_message(&error, "which has ended");
    expect_message(&error, names[0]);
    sleep_ms(2100);
    for (size_t i = 0; i < ARRAY_LENGTH(hashes); i++) {
        expect_lock(&caches[i], 0);
        cr_expect(!exists(&caches[i], names[i]), "%s", names[i]);
        cr_expect(exists(&caches[i], waiter));
        remove_cache(&caches[i]);
    }
}

static bool is_any_alive(const struct rezlock_name *parsed)
{
    for (size_t i = 0; i < parsed->pid_count; i++) {
        if (kill(parsed->pids[i], 0) == 0)
            return true;
    }
    return false;
}

Test(lock, is_taken_when_no_split_of_the_name_lives, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct rezlock_name parsed;
    char name[128];
    pid_t pid = 31999;
    do {
        unique_name(name, sizeof(name), NULL, pid--, "103455581228787184");
        cr_assert(rezlock_parse_name(name, &parsed) && parsed.pid_count == 3);
    } while (is_any_alive(&parsed));
    create_file(&cache, name);
    cr_assert(link_public(&cache, name) == 0);
    sleep_ms(2050);
    expect_lock(&cache, 0);
    cr_expect(!exists(&cache, name));
}

Test(lock, is_not_taken_when_one_split_of_the_name_lives, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    char name[128];
    unique_name(name, sizeof(name), NULL, getpid(), "103455581228787184");
    create_file(&cache, name);
    cr_assert(link_public(&cache, name) == 0);
    sleep_ms(2050);
    expect_timeout(&cache, 100, &error);
    expect_message(&error, name);
    cr_expect(exists(&cache, name));
}

static pid_t fork_with_pid(pid_t pid)
{
    struct clone_args arguments = {
        .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

Test(lock, is_taken_when_the_pid_is_used_again, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    char name[128];
    pid_t pid = start_rez(&cache, NEGATIVE_HASH, name, sizeof(name));
    kill_child(pid);
    sleep_ms(2050);
    pid_t later = fork_with_pid(pid);
    if (later == 0) {
        for (;;)
            pause();
    }
    if (later < 0)
        skip_with_cache(&cache, "cannot choose a pid: %m");
    cr_expect(later == pid);
    expect_lock(&cache, 0);
    kill_child(later);
}

Test(lock, is_never_taken_from_another_host, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    char name[128];
    unique_name(name, sizeof(name), "render-17.farm", 4194000, NEGATIVE_HASH);
    create_file(&cache, name);
    cr_assert(link_public(&cache, name) == 0);
    sleep_ms(2050);
    expect_timeout(&cache, 100, &error);
    expect_message(&error, "render-17.farm");
    expect_message(&error, "delete both files");
    cr_expect(exists(&cache, ".lock.lock") && exists(&cache, name));
}

Test(lock, waits_for_a_release_in_progress, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    create_file(&cache, ".lock.lock");
    sleep_ms(2050);
    expect_timeout(&cache, 100, &error);
    expect_message(&error, "releasing");
    expect_message(&error, "60 s");
    cr_expect(exists(&cache, ".lock.lock"));
}

Test(lock, leaves_strange_things_alone, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    create_file(&cache, "something");
    cr_assert(link_public(&cache, "something") == 0);
    sleep_ms(2050);
    expect_timeout(&cache, 50, &error);
    expect_message(&error, "unknown program");
    expect_message(&error, "something");
    cr_assert(unlinkat(cache.sys_fd, ".lock.lock", 0) == 0);
    cr_assert(mkdirat(cache.sys_fd, ".lock.lock", 0755) == 0);
    expect_timeout(&cache, 50, &error);
    cr_assert(unlinkat(cache.sys_fd, ".lock.lock", AT_REMOVEDIR) == 0);
    cr_assert(symlinkat("nowhere", cache.sys_fd, ".lock.lock") == 0);
    expect_timeout(&cache, 50, &error);
}

Test(lock, is_had_as_soon_as_rez_releases)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    pid_t pid = fork_child();
    char name[128];
    if (pid == 0) {
        unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
        if (!rez_acquire(&cache, name, 1, 0))
            _exit(1);
        sleep_ms(300);
        rez_release(&cache, name);
        _exit(0);
    }
    while (!exists(&cache, ".lock.lock"))
        sleep_ms(1);
    expect_lock(&cache, 2000);
    int status;
    waitpid(pid, &status, 0);
    cr_expect(status == 0);
}

Test(lock, that_was_taken_away_is_noticed)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    char name[128];
    unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    cr_assert(unlinkat(cache.sys_fd, ".lock.lock", 0) == 0);
    cr_expect(!lock_still_held(lock));
    cr_assert(rez_acquire(&cache, name, 1, 0));
    cr_expect(!lock_still_held(lock));
    cr_expect(lock_release(lock) == -ESTALE);
    cr_expect(exists(&cache, ".lock.lock"));
    rez_release(&cache, name);
}

Test(lock, survives_the_loss_of_its_file, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    cr_assert(unlinkat(cache.sys_fd, LOCK_PRIVATE_NAME, 0) == 0);
    cr_expect(lock_still_held(lock));
    expect_timeout(&cache, 50, &error);
    /* However long it takes. */
    struct rezlock found;
    struct rezlock_clock later = {.now_ns = INT64_MAX, .seen_ns = INT64_MAX, .hostname = ""};
    cr_assert(rezlock_read(cache.sys_fd, &found) == 0);
    cr_expect(rezlock_judge(cache.sys_fd, &found, &later) == REZLOCK_NAMELESS);
    cr_expect(lock_release(lock) == 0);
    expect_lock(&cache, 0);
}

Test(lock, survives_the_replacement_of_its_file)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct lock *other;
        if (lock_within(&cache, 3000, &other, NULL) < 0)
            _exit(1);
        _exit(lock_release(other) < 0 ? 2 : 0);
    }
    sleep_ms(50); /* the child waits for the old file by now */
    cr_assert(unlinkat(cache.sys_fd, LOCK_PRIVATE_NAME, 0) == 0);
    create_file(&cache, LOCK_PRIVATE_NAME);
    cr_expect(lock_release(lock) == 0);
    int status;
    waitpid(pid, &status, 0);
    cr_expect(status == 0);
    expect_lock(&cache, 1000);
}

static bool cancel_at_third(void *argument)
{
    return ++*(int *)argument == 3;
}

Test(lock, can_be_cancelled)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL, *other = NULL;
    struct pkgcache_error error = {0};
    int asked = 0;
    struct lock_request request = request_for(&cache, 10000);
    request.cancelled = cancel_at_third;
    request.cancel_argument = &asked;
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    cr_expect(lock_acquire(&request, &other, &error) == -ECANCELED);
    expect_message(&error, "cancelled");
    lock_release(lock);
    create_file(&cache, ".lock.lock");
    asked = 0;
    cr_expect(lock_acquire(&request, &other, &error) == -ECANCELED);
    cr_expect(other == NULL && asked == 3);
}

static void expect_mode(mode_t sys_mode, mode_t expected)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct stat status;
    cr_assert(fchmod(cache.sys_fd, sys_mode) == 0);
    expect_lock(&cache, 0);
    cr_assert(fstatat(cache.sys_fd, LOCK_PRIVATE_NAME, &status, 0) == 0);
    cr_expect((status.st_mode & 07777) == expected, "%o", status.st_mode);
    /* What a kill left without its mode is repaired by its owner. */
    cr_assert(fchmodat(cache.sys_fd, LOCK_PRIVATE_NAME, 0600, 0) == 0);
    expect_lock(&cache, 0);
    cr_assert(fstatat(cache.sys_fd, LOCK_PRIVATE_NAME, &status, 0) == 0);
    cr_expect((status.st_mode & 07777) == expected, "%o", status.st_mode);
}

Test(lock, file_has_the_mode_that_its_users_need)
{
    umask(077);
    expect_mode(0755, 0600);
    expect_mode(0775, 0660);
    expect_mode(02770, 0660);
    expect_mode(0777, 0666);
}

Test(lock, says_who_may_not)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    cr_assert(chmod(cache.path, 0755) == 0);
    expect_lock(&cache, 0);
    cr_assert(seteuid(65534) == 0);
    int result = lock_within(&cache, 5000, &lock, &error);
    cr_assert(seteuid(0) == 0);
    cr_expect(result == -EACCES);
    expect_message(&error, "no permission");
}

Test(lock, says_that_the_file_system_is_read_only)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(cache.path, cache.path, NULL, MS_BIND, NULL) < 0 ||
        mount("", cache.path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        skip_with_cache(&cache, "cannot mount: %m");
    struct test_cache mounted = cache;
    char path[80];
    snprintf(path, sizeof(path), "%s/.sys", cache.path);
    mounted.sys_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_expect(lock_within(&mounted, 100, &lock, &error) == -EROFS);
    expect_message(&error, "read-only");
    close(mounted.sys_fd);
    umount2(cache.path, MNT_DETACH);
}

Test(lock, says_that_there_is_no_cache)
{
    struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    char path[80];
    snprintf(path, sizeof(path), "%s/.sys", cache.path);
    cr_assert(rmdir(path) == 0);
    cr_expect(lock_within(&cache, 100, &lock, &error) == -ENOENT);
    expect_message(&error, "no such directory");
    remove_cache(&cache);
}

Test(lock, refuses_file_systems_without_hard_links)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    if (!refuse_call(SYS_linkat, EPERM))
        skip_with_cache(&cache, "no seccomp");
    cr_expect(lock_within(&cache, 100, &lock, &error) == -EOPNOTSUPP);
    expect_message(&error, "hard links");
}

Test(lock, refuses_file_systems_without_its_kind_of_locks)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct pkgcache_error error = {0};
    struct lock *lock = NULL;
    if (!refuse_call_with(SYS_fcntl, F_OFD_SETLK, EINVAL))
        skip_with_cache(&cache, "no seccomp");
    cr_expect(lock_within(&cache, 100, &lock, &error) == -EOPNOTSUPP);
    expect_message(&error, "open-file-description");
}

Test(lock, is_released_though_a_child_has_inherited_it)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    cr_assert(lock_within(&cache, 1000, &lock, NULL) == 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    cr_expect(lock_release(lock) == 0);
    expect_lock(&cache, 0);
    kill_child(pid);
}

struct thread_work {
    const struct test_cache *cache;
    int failures;
};

static void *lock_often(void *argument)
{
    struct thread_work *work = argument;
    for (int i = 0; i < 100; i++) {
        struct lock *lock = NULL;
        if (lock_within(work->cache, 20000, &lock, NULL) < 0) {
            work->failures++;
            continue;
        }
        int fd = openat(work->cache->sys_fd, "inside", O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        work->failures += fd < 0 || !lock_still_held(lock);
        if (fd >= 0)
            close(fd);
        unlinkat(work->cache->sys_fd, "inside", 0);
        work->failures += lock_release(lock) < 0;
    }
    return NULL;
}

Test(lock, keeps_threads_apart, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct thread_work works[4];
    pthread_t threads[ARRAY_LENGTH(works)];
    for (size_t i = 0; i < ARRAY_LENGTH(works); i++) {
        works[i] = (struct thread_work){.cache = &cache};
        cr_assert(pthread_create(&threads[i], NULL, lock_often, &works[i]) == 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(works); i++) {
        pthread_join(threads[i], NULL);
        cr_expect(works[i].failures == 0, "%d", works[i].failures);
    }
}
