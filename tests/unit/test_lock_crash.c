/*
 * The lock under load, and under kill -9.
 *
 * The fault model: a process can end before and after each of its system calls, and nothing else
 * about it shows on disk. So a child is traced, and killed on return from its first system call,
 * then another on return from its second, and so on, until one comes through. Production code has
 * no part in it.
 */
#include "tests/unit/lock_support.h"

#include <sys/ptrace.h>

enum {
    STEPS_MAX = 400,
    BREAKING_STEPS_MAX = 250,
    WORKERS = 8,
    ROUNDS = 200,
    REZ_WORKERS = 2,
    REZ_ROUNDS = 40,
    KILLING_MS = 2500
};

/* Criterion's own runner loses 48 bytes, depending on which of two tests ends first. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcriterion";
}

static void acquire_and_release(const struct test_cache *cache)
{
    struct lock *lock;
    if (lock_within(cache, 5000, &lock, NULL) < 0 || !lock_still_held(lock) ||
        lock_release(lock) < 0)
        _exit(1);
}

/* Runs a child to the end of its `step`-th system call, and kills it. False: it ended before. */
static bool kill_at_step(const struct test_cache *cache, int step)
{
    int status, left = step * 2; /* it stops before and after each */
    pid_t pid = fork_child();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        raise(SIGSTOP);
        acquire_and_release(cache);
        _exit(0);
    }
    cr_assert(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("ptrace is not allowed here");
    cr_assert(WIFSTOPPED(status));
    cr_assert(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD) == 0);
    while (WIFSTOPPED(status)) {
        left -= WSTOPSIG(status) == (SIGTRAP | 0x80);
        if (left <= 0) {
            kill_child(pid);
            return true;
        }
        cr_assert(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
        cr_assert(waitpid(pid, &status, 0) == pid);
    }
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "step %d: %x", step, status);
    return false;
}

/* After a kill: the next of us has the lock at once. Returns whether it was adopted. */
static bool expect_at_once(const struct test_cache *cache, unsigned limit_ms, int step)
{
    struct lock *lock = NULL;
    struct pkgcache_error error = {0};
    uint64_t start_ns = clock_monotonic_ns();
    cr_assert(lock_within(cache, 2000, &lock, &error) == 0, "step %d: %s", step, error.message);
    uint64_t took_ms = (clock_monotonic_ns() - start_ns) / NS_PER_MS;
    cr_expect(took_ms < limit_ms, "step %d: %d ms", step, (int)took_ms);
    bool adopted = lock_was_adopted(lock);
    cr_expect(lock_still_held(lock));
    cr_expect(lock_release(lock) == 0);
    cr_expect(!exists(cache, ".lock.lock"));
    struct stat status;
    cr_assert(fstatat(cache->sys_fd, LOCK_PRIVATE_NAME, &status, 0) == 0);
    cr_expect(status.st_nlink == 1);
    return adopted;
}

Test(lock_crash, at_every_step_of_acquire_and_release, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    int step = 1, adoptions = 0;
    for (; step < STEPS_MAX && kill_at_step(&cache, step); step++)
        adoptions += expect_at_once(&cache, 500, step);
    cr_expect(step < STEPS_MAX && step > 10, "%d", step);
    cr_expect(adoptions >= 4, "%d", adoptions);
}

/* All the locks are made first, since they must be 2 s old before they can be broken. */
Test(lock_crash, at_every_step_of_breaking_a_dead_rez_s_lock, .timeout = PATIENCE_S)
{
    static struct test_cache caches[BREAKING_STEPS_MAX];
    char name[128];
    pid_t rez = fork_child();
    if (rez == 0)
        _exit(0);
    unique_name(name, sizeof(name), NULL, rez, NEGATIVE_HASH);
    for (int i = 0; i < BREAKING_STEPS_MAX; i++) {
        caches[i] = make_cache();
        cr_assert(rez_acquire(&caches[i], name, 1, 0));
    }
    kill_child(rez);
    sleep_ms(2050);
    int step = 1, left_behind = 0;
    for (; step < BREAKING_STEPS_MAX && kill_at_step(&caches[step], step); step++) {
        expect_at_once(&caches[step], 500, step);
        left_behind += exists(&caches[step], name);
    }
    cr_expect(step < BREAKING_STEPS_MAX && step > 20, "%d", step);
    cr_expect(!exists(&caches[step], name));
    cr_expect(left_behind <= 1, "%d", left_behind); /* killed between the two unlinks */
    for (int i = 0; i < BREAKING_STEPS_MAX; i++)
        remove_cache(&caches[i]);
}

/* A counter that only a lock can keep right, and a log of all the values it had. */
static void count_up(const struct test_cache *cache, int counter_fd, int log_fd)
{
    uint64_t value = 0;
    char line[32];
    (void)cache;
    if (pread(counter_fd, &value, sizeof(value), 0) < 0)
        _exit(10);
    value++;
    if (pwrite(counter_fd, &value, sizeof(value), 0) != sizeof(value))
        _exit(11);
    int length = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)value);
    if (write(log_fd, line, (size_t)length) != length)
        _exit(12);
}

static int open_in_sys(const struct test_cache *cache, const char *name, int flags)
{
    int fd = openat(cache->sys_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    cr_assert(fd >= 0);
    return fd;
}

static pid_t start_worker(const struct test_cache *cache, int rounds)
{
    int counter_fd = open_in_sys(cache, "counter", 0);
    int log_fd = open_in_sys(cache, "log", O_APPEND);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct owner self;
        owner_of_this_process(&self);
        for (int i = 0; i < rounds; i++) {
            struct lock *lock;
            struct lock_request request = request_for(cache, 30000);
            request.owner = &self;
            if (lock_acquire(&request, &lock, NULL) < 0)
                _exit(1);
            if (!lock_still_held(lock))
                _exit(2);
            count_up(cache, counter_fd, log_fd);
            if (lock_release(lock) < 0)
                _exit(3);
        }
        _exit(0);
    }
    close(counter_fd);
    close(log_fd);
    return pid;
}

static pid_t start_rez_worker(const struct test_cache *cache, int rounds)
{
    int counter_fd = open_in_sys(cache, "counter", 0);
    int log_fd = open_in_sys(cache, "log", O_APPEND);
    pid_t pid = fork_child();
    if (pid == 0) {
        char name[128];
        unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
        for (int i = 0; i < rounds; i++) {
            if (!rez_acquire(cache, name, 10000, 3))
                _exit(1);
            count_up(cache, counter_fd, log_fd);
            rez_release(cache, name);
        }
        _exit(0);
    }
    close(counter_fd);
    close(log_fd);
    return pid;
}

static void expect_success(pid_t pid)
{
    int status;
    cr_assert(waitpid(pid, &status, 0) == pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* Reads the log: each value is greater than the one before it. Returns how many there are. */
static uint64_t check_log(const struct test_cache *cache, uint64_t *ret_last)
{
    CLEANUP_FCLOSE FILE *log = fdopen(open_in_sys(cache, "log", 0), "r");
    unsigned long long value, last = 0, lines = 0;
    cr_assert(log);
    for (; fscanf(log, "%llu", &value) == 1; last = value, lines++)
        cr_assert(value > last, "%llu after %llu: two were inside at once", value, last);
    *ret_last = last;
    return lines;
}

Test(lock_crash, no_update_is_lost, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    pid_t pids[WORKERS + REZ_WORKERS];
    for (int i = 0; i < WORKERS + REZ_WORKERS; i++)
        pids[i] = i < WORKERS ? start_worker(&cache, ROUNDS) : start_rez_worker(&cache, REZ_ROUNDS);
    for (int i = 0; i < WORKERS + REZ_WORKERS; i++)
        expect_success(pids[i]);
    uint64_t last, expected = WORKERS * ROUNDS + REZ_WORKERS * REZ_ROUNDS;
    cr_expect(check_log(&cache, &last) == expected);
    cr_expect(last == expected);
}

Test(lock_crash, no_update_is_lost_to_random_kills, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    pid_t pids[WORKERS];
    const char *given = getenv("PKGCACHE_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_monotonic_ns();
    unsigned state = seed;
    for (int i = 0; i < WORKERS; i++)
        pids[i] = start_worker(&cache, 1 << 30);
    pid_t rez = start_rez_worker(&cache, REZ_ROUNDS);
    int kills = 0;
    for (uint64_t end_ns = in_ms(KILLING_MS); clock_monotonic_ns() < end_ns; kills++) {
        nanosleep(&(struct timespec){.tv_nsec = rand_r(&state) % 4000000}, NULL);
        int victim = rand_r(&state) % WORKERS;
        kill_child(pids[victim]); /* expects that it had not failed before */
        pids[victim] = start_worker(&cache, 1 << 30);
    }
    expect_success(rez);
    for (int i = 0; i < WORKERS; i++)
        kill_child(pids[i]);
    uint64_t last, lines = check_log(&cache, &last);
    cr_expect(lines > 100 && last - lines <= (uint64_t)kills + WORKERS,
              "PKGCACHE_TEST_SEED=%u: %d lines, last %d, %d kills", seed, (int)lines, (int)last,
              kills);
    expect_at_once(&cache, 500, 0);
}

static pid_t start_hog(const struct test_cache *cache)
{
    pid_t pid = fork_child();
    while (pid == 0) {
        struct lock *lock;
        if (lock_within(cache, 30000, &lock, NULL) < 0)
            _exit(1);
        sleep_ms(20);
        lock_release(lock);
    }
    return pid;
}

Test(lock_crash, rez_gets_its_turn, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    pid_t hogs[3];
    char name[128];
    for (size_t i = 0; i < ARRAY_LENGTH(hogs); i++)
        hogs[i] = start_hog(&cache);
    sleep_ms(1000);
    unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
    bool acquired = rez_acquire(&cache, name, 10, 1000);
    cr_expect(acquired);
    if (acquired)
        rez_release(&cache, name);
    for (size_t i = 0; i < ARRAY_LENGTH(hogs); i++)
        kill_child(hogs[i]);
}

/* Being fair costs time, but never the lock. */
Test(lock_crash, fairness_does_not_fail_anyone, .timeout = PATIENCE_S)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct lock *lock = NULL;
    char name[128];
    cr_assert(lock_within(&cache, 0, &lock, NULL) == 0);
    sleep_ms(1500);
    lock_release(lock);
    unique_name(name, sizeof(name), NULL, getpid(), NEGATIVE_HASH);
    create_file(&cache, name);
    uint64_t start_ns = clock_monotonic_ns();
    cr_assert(lock_within(&cache, 300, &lock, NULL) == 0);
    uint64_t took_ms = (clock_monotonic_ns() - start_ns) / NS_PER_MS;
    cr_expect(took_ms >= 300 && took_ms < 900, "%d ms", (int)took_ms);
    lock_release(lock);
    cr_expect(exists(&cache, name));
}
