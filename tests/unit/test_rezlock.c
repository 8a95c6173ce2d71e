/* What may be concluded from a rez's lock; and the record of how busy ours is. */
#include "tests/unit/lock_support.h"

#include "cache/lock/lock_record.h"
#include "cache/owner/process.h"

#define SECOND ((int64_t)NS_PER_S)

static struct rezlock_name parse(const char *name)
{
    struct rezlock_name parsed;
    cr_assert(rezlock_parse_name(name, &parsed), "%s", name);
    return parsed;
}

Test(rezlock, splits_at_a_sign)
{
    struct rezlock_name parsed = parse("vm-455e6b80.8809-6103455581228787184");
    cr_expect_str_eq(parsed.host, "vm");
    cr_expect(parsed.thread == 0x455e6b80);
    cr_expect(parsed.pid_count == 1 && parsed.pids[0] == 8809);
    parsed = parse("a.b-c.example-1.1-9223372036854775808");
    cr_expect_str_eq(parsed.host, "a.b-c.example");
    cr_expect(parsed.pid_count == 1 && parsed.pids[0] == 1);
}

Test(rezlock, splits_in_every_way_that_is_possible)
{
    /* Not 880961, since no hash is written with a leading zero; and 8809610 is no pid. */
    struct rezlock_name parsed = parse("vm-455e6b80.88096103455581228787184");
    cr_expect(parsed.pid_count == 2 && parsed.pids[0] == 8809 && parsed.pids[1] == 88096);
    /* 9500000000000000000 is no hash, so 1 is no pid. */
    parsed = parse("vm-1.19500000000000000000");
    cr_expect(parsed.pid_count == 1 && parsed.pids[0] == 19);
    parsed = parse("vm-1.1230");
    cr_expect(parsed.pid_count == 3);
    cr_expect(parsed.pids[0] == 1 && parsed.pids[1] == 12 && parsed.pids[2] == 123);
    parsed = parse("vm-1.11111119111111111");
    cr_expect(parsed.pid_count == REZLOCK_PIDS_MAX && parsed.pids[6] == 1111111);
}

Test(rezlock, knows_rez_s_names_from_others)
{
    static const char *const others[] = {
        "",
        "pkgcache.lock",
        ".lock.lock",
        "vm",
        "vm-1.",
        "vm-1.5",
        "vm-.5-6",
        "-1.5-6",
        "vm-1.0-6",
        "vm-1.5-",
        "vm-1.5-06",
        "vm-1.5-0",
        "vm-1.5-6-7",
        "vm-1.-6",
        "vm-1.x5-6",
        "vm-1.5-6x",
        "vm-G.5-6",
        "vm-AB.5-6",
        "vm-123456789.5-6",
        "vm-1.4194305-6",
        "vm-1.05-6",
        "vm-1.5-9223372036854775809",
        "vm 1.5-6",
        "vm-1.+5-6",
        "vm-1.123456789012345678901234567890",
        "a123456789012345678901234567890123456789012345678901234567890abcd-1.5-6",
    };
    struct rezlock_name parsed;
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        cr_expect(!rezlock_parse_name(others[i], &parsed), "%s", others[i]);
}

/* A lock of `pid` on this host, as it looks; and a clock that shows now. */
struct scene {
    struct rezlock lock;
    struct rezlock_clock clock;
    char host[65];
};

static void set_scene(struct scene *scene, const struct test_cache *cache, pid_t pid)
{
    char name[128];
    unique_name(name, sizeof(name), NULL, pid, NEGATIVE_HASH);
    cr_assert(rez_acquire(cache, name, 1, 0));
    cr_assert(rezlock_read(cache->sys_fd, &scene->lock) == 0);
    cr_assert(scene->lock.is_rez);
    cr_expect_str_eq(scene->lock.name, name);
    gethostname(scene->host, sizeof(scene->host));
    scene->clock = (struct rezlock_clock){.now_ns = (int64_t)clock_ns(CLOCK_REALTIME),
                                          .boot_ns = owner_boot_time_ns(),
                                          .hostname = scene->host};
}

static pid_t unused_pid(void)
{
    pid_t pid = 32000;
    while (kill(pid, 0) == 0 || errno != ESRCH)
        pid--;
    return pid;
}

Test(rezlock, judges_by_age_and_host)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct scene scene;
    set_scene(&scene, &cache, unused_pid());
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_YOUNG);
    scene.clock.now_ns += 3 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_DEAD);
    scene.clock.now_ns -= 3600 * SECOND; /* the clock was set back */
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_YOUNG);
    scene.clock.seen_ns = 3 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_DEAD);
    scene.clock.hostname = "other";
    scene.clock.now_ns += 9999999 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_REMOTE);
}

Test(rezlock, judges_by_boot_and_start)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct scene scene;
    set_scene(&scene, &cache, getpid());
    scene.clock.now_ns += 3 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_ALIVE);
    /* As if the machine had started after the lock was taken. */
    scene.clock.boot_ns = scene.clock.now_ns - SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_DEAD);
    scene.clock.was_set = true; /* then that means nothing */
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_ALIVE);
    scene.clock.was_set = false;
    /* As if this process had started a little later than the lock was taken. */
    struct process self;
    cr_assert(process_read(getpid(), &self) == 0);
    int64_t locked_ns = scene.lock.status.st_ctim.tv_sec * SECOND;
    int64_t uptime_ns = process_start_ns(&self, 0);
    scene.clock.boot_ns = locked_ns - uptime_ns;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_ALIVE);
    scene.clock.boot_ns += 3 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &scene.lock, &scene.clock) == REZLOCK_DEAD);
}

Test(rezlock, judges_a_release_in_progress)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct rezlock lock;
    struct rezlock_clock clock = {.hostname = "vm"};
    create_file(&cache, ".lock.lock");
    cr_assert(rezlock_read(cache.sys_fd, &lock) == 0);
    clock.now_ns = lock.status.st_ctim.tv_sec * SECOND + 59 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &lock, &clock) == REZLOCK_NAMELESS);
    clock.now_ns += 3 * SECOND;
    cr_expect(rezlock_judge(cache.sys_fd, &lock, &clock) == REZLOCK_DEAD);
}

Test(rezlock, notices_that_a_lock_was_taken_anew)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    struct scene before, after;
    char name[128];
    set_scene(&before, &cache, 31234);
    strcpy(name, before.lock.name);
    cr_expect(rezlock_is_same(&before.lock, &before.lock));
    rez_release(&cache, name);
    struct rezlock none;
    cr_expect(rezlock_read(cache.sys_fd, &none) == -ENOENT);
    sleep_ms(20);
    set_scene(&after, &cache, 31234);
    cr_expect(!rezlock_is_same(&before.lock, &after.lock));
}

Test(rezlock, sees_who_waits)
{
    CLEANUP_CACHE struct test_cache cache = make_cache();
    char name[128];
    unique_name(name, sizeof(name), "anywhere", 5, NEGATIVE_HASH);
    create_file(&cache, "vm.txt");
    cr_expect(!rezlock_is_awaited(cache.sys_fd));
    create_file(&cache, name);
    cr_expect(rezlock_is_awaited(cache.sys_fd));
    struct timespec times[2] = {{.tv_sec = time(NULL) - 20}, {.tv_sec = time(NULL) - 20}};
    cr_assert(utimensat(cache.sys_fd, name, times, 0) == 0); /* long dead: rez waits for 10 s */
    cr_expect(!rezlock_is_awaited(cache.sys_fd));
    create_file(&cache, name);
    cr_assert(link_public(&cache, name) == 0);
    cr_expect(!rezlock_is_awaited(cache.sys_fd)); /* it has what it wants */
}

Test(lock_record, reads_what_it_writes)
{
    char text[LOCK_RECORD_BYTES];
    struct lock_record record = {.held_since_ns = 1,
                                 .window_start_ns = 2,
                                 .window_held_ns = 3,
                                 .previous_held_ns = 4,
                                 .wall_at_boot_ns = INT64_MAX};
    struct lock_record again;
    owner_of_this_process(&record.holder);
    lock_record_format(&record, text);
    cr_assert(lock_record_parse(text, sizeof(text), &again) == 0);
    cr_expect(owner_is_same(&again.holder, &record.holder));
    cr_expect(again.held_since_ns == 1 && again.window_start_ns == 2 && again.window_held_ns == 3);
    cr_expect(again.previous_held_ns == 4 && again.wall_at_boot_ns == INT64_MAX);
    cr_expect(lock_record_parse("", 0, &again) == -EBADMSG);
}

Test(lock_record, tells_a_busy_lock)
{
    const uint64_t s = NS_PER_S, start = 1000 * s;
    struct lock_record record = {0};
    cr_expect(!lock_record_is_busy(&record, start));
    lock_record_count(&record, start, start + s / 2);
    cr_expect(!lock_record_is_busy(&record, start + s));
    lock_record_count(&record, start + s, start + 2 * s);
    cr_expect(lock_record_is_busy(&record, start + 2 * s));
    cr_expect(!lock_record_is_busy(&record, start + 4 * s)); /* free since then */
    cr_expect(!lock_record_is_busy(&record, start + 100 * s));
    cr_expect(!lock_record_is_busy(&record, start - 100 * s)); /* of another boot */
    lock_record_count(&record, start + 10 * s, start + 100 * s);
    cr_expect(lock_record_is_busy(&record, start + 100 * s));
}

Test(lock_record, is_not_busy_when_held_a_third_of_the_time)
{
    const uint64_t ms = NS_PER_MS;
    struct lock_record record = {0};
    for (uint64_t now = 5000 * ms; now < 20000 * ms; now += 30 * ms) {
        lock_record_count(&record, now, now + 10 * ms);
        cr_expect(!lock_record_is_busy(&record, now + 30 * ms), "at %d ms", (int)(now / ms));
    }
    for (uint64_t now = 20000 * ms; now < 30000 * ms; now += 30 * ms) {
        lock_record_count(&record, now, now + 20 * ms);
        if (now > 24000 * ms)
            cr_expect(lock_record_is_busy(&record, now + 30 * ms), "at %d ms", (int)(now / ms));
    }
}

Test(lock_record, notices_that_the_clock_was_set)
{
    struct owner self;
    owner_of_this_process(&self);
    struct lock_record record = {.holder = self};
    cr_expect(!lock_record_clock_was_set(&record, &self)); /* nothing known */
    record.wall_at_boot_ns = (uint64_t)owner_boot_time_ns();
    cr_expect(!lock_record_clock_was_set(&record, &self));
    record.wall_at_boot_ns -= 3600 * NS_PER_S;
    cr_expect(lock_record_clock_was_set(&record, &self));
    record.holder.boot[0] ^= 1;
    cr_expect(!lock_record_clock_was_set(&record, &self)); /* of another boot */
}
