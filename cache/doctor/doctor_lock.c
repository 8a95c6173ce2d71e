/* The lock: its holder, since when, processes that wait for it, and files that killed rez processes
 * left. */
#include "cache/doctor/examination.h"

#include "cache/lock/lock_file.h"
#include "cache/lock/lock_holder.h"
#include "cache/lock/lock_record.h"
#include "cache/lock/rezlock.h"
#include "cache/util/names.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <string.h>

enum { WAITS_AT_MOST_S = 15 }; /* rez gives up after 10 */

#define PUBLIC_PATH ".sys/" LOCK_PUBLIC_NAME

static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void describe_ours(const struct examination *examination, int private_fd)
{
    struct lock_record record;
    char holder[LOCK_HOLDER_TEXT_MAX];
    if (!is_locked(private_fd)) {
        doctor_report(
            examination, PKGCACHE_SEVERITY_WARNING, "lock", PUBLIC_PATH,
            "The next pkgcache that needs the lock takes it over; until then rez cannot "
            "take it. Run pkgcache clean",
            "was left behind by a pkgcache process that was killed while it held the lock");
        return;
    }
    lock_record_read(private_fd, &record);
    uint64_t now_ns = clock_monotonic_ns();
    bool known = record.holder.pid && record.held_since_ns && record.held_since_ns <= now_ns;
    double age_s = known ? (double)(now_ns - record.held_since_ns) / (double)NS_PER_S : 0;
    bool long_held = age_s > 2;
    lock_holder_describe(private_fd, &examination->cache->self, holder);
    doctor_report(examination, long_held ? PKGCACHE_SEVERITY_WARNING : PKGCACHE_SEVERITY_NOTE,
                  "lock", PUBLIC_PATH,
                  long_held
                      ? "The lock is normally held for milliseconds. If that process is stopped "
                        "or hangs, end it: that frees the lock at once"
                      : NULL,
                  "held for %.1f s by %s", age_s, holder);
}

static void describe_rez(const struct examination *examination, const struct rezlock *found,
                         const struct lock_record *record)
{
    char holder_text[512], advice_text[256];
    struct text holder = text_over(holder_text, sizeof(holder_text));
    struct text advice = text_over(advice_text, sizeof(advice_text));
    const struct pkgcache *cache = examination->cache;
    struct rezlock_clock clock = {
        .now_ns = (int64_t)clock_ns(CLOCK_REALTIME),
        .boot_ns = owner_boot_time_ns(),
        .was_set = lock_record_clock_was_set(record, &cache->self),
        .hostname = cache->self.host,
    };
    enum rezlock_verdict verdict = rezlock_judge(cache->sys_fd, found, &clock);
    rezlock_describe(found, verdict, &clock, &holder, &advice);
    if (verdict == REZLOCK_DEAD)
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "lock", PUBLIC_PATH,
                      "rez cannot take the lock until a pkgcache process needs it and removes this "
                      "file. Run pkgcache clean",
                      "%s", holder_text);
    else
        doctor_report(examination,
                      verdict == REZLOCK_ALIVE || verdict == REZLOCK_YOUNG
                          ? PKGCACHE_SEVERITY_NOTE
                          : PKGCACHE_SEVERITY_WARNING,
                      "lock", PUBLIC_PATH, advice_text, "%s", holder_text);
}

/* The unique files of rezes that wait, or were killed while they did. */
static void describe_waiters(const struct examination *examination)
{
    struct names names;
    struct rezlock_name parsed;
    struct stat status;
    int sys_fd = examination->cache->sys_fd;
    int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    int result = names_open(&names, sys_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char path[sizeof(".sys/") + NAME_MAX];
        if (!rezlock_parse_name(name, &parsed) || names_stat(sys_fd, name, &status) < 0 ||
            status.st_nlink != 1)
            continue;
        snprintf(path, sizeof(path), ".sys/%s", name);
        bool waits = llabs((long long)(now_s - status.st_mtime)) <= WAITS_AT_MOST_S;
        doctor_report(examination, PKGCACHE_SEVERITY_NOTE, "lock", path,
                      waits ? NULL : "It does no harm; pkgcache clean deletes it",
                      waits ? "a rez process on host %s waits for the lock"
                            : "a rez process on host %s was killed while it waited for the lock",
                      parsed.host);
    }
    names_close(&names);
}

/* Whether the lock is closed to this user as all of .sys is: a guest, who changes nothing here. */
static bool is_for_others(int sys_fd)
{
    struct stat status;
    return names_stat(sys_fd, LOCK_PRIVATE_NAME, &status) == 0 && S_ISREG(status.st_mode) &&
           faccessat(sys_fd, ".", W_OK, AT_EACCESS) < 0;
}

void doctor_examine_lock(const struct examination *examination)
{
    int sys_fd = examination->cache->sys_fd;
    struct lock_record record = {0};
    struct rezlock found;
    struct stat status = {0};
    CLEANUP_CLOSE int fd = names_open_file(sys_fd, LOCK_PRIVATE_NAME, O_RDONLY | O_NONBLOCK, 0);
    if (fd >= 0 && fstat(fd, &status) == 0)
        lock_record_read(fd, &record);
    bool wrong = status.st_ino ? !S_ISREG(status.st_mode) : errno != ENOENT;
    if (wrong && !is_for_others(sys_fd))
        doctor_report(
            examination, PKGCACHE_SEVERITY_PROBLEM, "lock", ".sys/" LOCK_PRIVATE_NAME,
            "Until that changes, this user can add and remove nothing. If it is not a regular "
            "file, move it away; in a group's cache its mode is 0660",
            "is not a regular file, or cannot be opened by this user");
    int result = rezlock_read(sys_fd, &found);
    if (result == -ENOENT)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "lock", PUBLIC_PATH, NULL, "is free");
    else if (result < 0)
        doctor_report(examination, PKGCACHE_SEVERITY_PROBLEM, "lock", PUBLIC_PATH, NULL,
                      "cannot be examined: %s", strerror(-result));
    else if (found.status.st_ino == status.st_ino)
        describe_ours(examination, fd);
    else
        describe_rez(examination, &found, &record);
    describe_waiters(examination);
}
