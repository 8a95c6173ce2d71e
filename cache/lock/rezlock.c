/*
 * Proving a rez dead.
 *
 * A rez holds the lock while `.lock.lock` and its unique file HOST-TID.PIDHASH are two names of one
 * inode. Killed, it leaves both for ever, so whoever comes next must decide from what is on disk:
 * the host, a pid that has no visible end, and the inode's ctime, which is when the link was made.
 *
 * The pid: HASH is a signed 64-bit number. When it is negative, its sign ends the pid; otherwise
 * every split whose pid can exist and whose hash is in range is one that must be disproved. (Few
 * remain: a hash has 19 digits nine times of ten.) A process is not the holder when there is none
 * of that pid, when it is a kernel thread, when it has ended, or when it started after the lock
 * was taken. File times are up to a clock tick late and start times are counted in ticks, so
 * "after" means by more than a second. If the wall clock was set since then, start times and file
 * times do not compare at all, and only absence proves anything.
 *
 * What can still go wrong: a rez in a container that has the host name of this machine, but its own
 * pid namespace, looks absent. It would have to hang for 2 s inside a lock that it normally holds
 * for a millisecond. And an inode without a second name belongs to a rez between the two unlinks of
 * its release: if it was stopped right there for more than a minute, it will remove the lock of
 * whoever has it by then. That one notices (lock_still_held), and stops.
 */
#include "cache/lock/rezlock.h"

#include "cache/owner/process.h"
#include "cache/util/names.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

enum {
    HASH_DIGITS_MAX = 19,
    THREAD_DIGITS_MAX = 8,
    PID_MAX_LIMIT = 4 << 20, /* the kernel's own; what is over /proc/sys/kernel/pid_max is absent */
    WAITER_AGE_MAX_S = 15,
    START_MARGIN_NS = 1000000000
};

/* A decimal number without leading zeros, all of the `length` digits. */
static bool parse_digits(const char *digits, size_t length, uint64_t maximum, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (length == 0 || length > HASH_DIGITS_MAX || (digits[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)digits[i]))
            return false;
        value = value * 10 + (uint64_t)(digits[i] - '0');
    }
    *ret_value = value;
    return value <= maximum;
}

static bool is_hash(const char *text)
{
    uint64_t value;
    bool negative = text[0] == '-';
    return parse_digits(text + negative, strlen(text + negative), (uint64_t)INT64_MAX + negative,
                        &value) &&
           !(negative && value == 0);
}

static void split_pid_and_hash(const char *pid_hash, struct rezlock_name *name)
{
    uint64_t pid;
    for (size_t length = 1; pid_hash[length - 1] && name->pid_count < REZLOCK_PIDS_MAX; length++) {
        if (parse_digits(pid_hash, length, PID_MAX_LIMIT, &pid) && pid > 0 &&
            is_hash(pid_hash + length))
            name->pids[name->pid_count++] = (pid_t)pid;
    }
}

bool rezlock_parse_name(const char *name, struct rezlock_name *ret_name)
{
    struct rezlock_name parsed = {0};
    if (strnlen(name, REZLOCK_NAME_MAX + 1) > REZLOCK_NAME_MAX)
        return false;
    /* A host name may have dots and hyphens of its own; what follows it has one of each at most. */
    const char *dot = strrchr(name, '.');
    const char *hyphen = dot ? memrchr(name, '-', (size_t)(dot - name)) : NULL;
    if (!hyphen || hyphen == name || hyphen - name > REZLOCK_HOST_MAX || dot - hyphen - 1 < 1 ||
        dot - hyphen - 1 > THREAD_DIGITS_MAX)
        return false;
    memcpy(parsed.host, name, (size_t)(hyphen - name));
    for (const char *digit = hyphen + 1; digit < dot; digit++) {
        if (!isxdigit((unsigned char)*digit) || isupper((unsigned char)*digit))
            return false;
    }
    parsed.thread = (uint32_t)strtoul(hyphen + 1, NULL, 16);
    split_pid_and_hash(dot + 1, &parsed);
    if (parsed.pid_count == 0)
        return false;
    *ret_name = parsed;
    return true;
}

/* Opens the directory anew: a position of its own, and its own buffer. */
static int open_sys(int sys_fd, DIR **ret_dir)
{
    CLEANUP_CLOSE int fd = openat(sys_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir)
        return -errno;
    steal_fd(&fd);
    *ret_dir = dir;
    return 0;
}

static bool is_same_inode(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

static int find_other_name(int sys_fd, struct rezlock *lock)
{
    CLEANUP_DIR DIR *dir = NULL;
    struct stat status;
    int result = open_sys(sys_fd, &dir);
    if (!dir)
        return result;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            return -errno;
        /* d_ino may be another number than st_ino on stacked file systems: ask for each. */
        if (entry->d_type == DT_DIR || strcmp(entry->d_name, LOCK_PUBLIC_NAME) == 0 ||
            names_stat(sys_fd, entry->d_name, &status) < 0 ||
            !is_same_inode(&status, &lock->status))
            continue;
        snprintf(lock->name, sizeof(lock->name), "%s", entry->d_name);
        lock->is_rez = rezlock_parse_name(lock->name, &lock->parsed);
        return 0;
    }
}

int rezlock_read(int sys_fd, struct rezlock *ret_lock)
{
    struct rezlock lock = {0};
    if (names_stat(sys_fd, LOCK_PUBLIC_NAME, &lock.status) < 0)
        return -errno;
    if (S_ISREG(lock.status.st_mode) && lock.status.st_nlink > 1) {
        int result = find_other_name(sys_fd, &lock);
        if (result < 0)
            return result;
    }
    *ret_lock = lock;
    return 0;
}

bool rezlock_is_same(const struct rezlock *one, const struct rezlock *other)
{
    return is_same_inode(&one->status, &other->status) &&
           one->status.st_nlink == other->status.st_nlink &&
           clock_file_ns(one->status.st_ctim) == clock_file_ns(other->status.st_ctim) &&
           strcmp(one->name, other->name) == 0;
}

static bool may_be_holder(pid_t pid, int64_t locked_ns, const struct rezlock_clock *clock)
{
    struct process process;
    int result = process_read(pid, &process);
    if (result < 0)
        return result != -ESRCH;
    if (process.kernel_thread || process_has_ended(&process))
        return false;
    return clock->was_set ||
           process_start_ns(&process, clock->boot_ns) <= locked_ns + START_MARGIN_NS;
}

static bool is_any_alive(const struct rezlock *lock, const struct rezlock_clock *clock)
{
    int64_t locked_ns = clock_file_ns(lock->status.st_ctim);
    if (!clock->was_set && locked_ns < clock->boot_ns - START_MARGIN_NS)
        return false;
    for (size_t i = 0; i < lock->parsed.pid_count; i++) {
        if (may_be_holder(lock->parsed.pids[i], locked_ns, clock))
            return true;
    }
    return false;
}

/* By the file's time, or, when the clock was set back, by how long we have been looking at it. */
static bool is_older(const struct rezlock *lock, const struct rezlock_clock *clock, int age_s)
{
    int64_t age_ns = clock->now_ns - clock_file_ns(lock->status.st_ctim);
    return MAX(age_ns, clock->seen_ns) > age_s * (int64_t)NS_PER_S;
}

/*
 * A nameless lock can also be one of ours, whose pkgcache.lock somebody deleted while it was held.
 * Then its owner still has a lock on the open file.
 */
static bool is_open_and_locked(int sys_fd)
{
    CLEANUP_CLOSE int fd = names_open_file(sys_fd, LOCK_PUBLIC_NAME, O_RDONLY | O_NONBLOCK, 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

enum rezlock_verdict rezlock_judge(int sys_fd, const struct rezlock *lock,
                                   const struct rezlock_clock *clock)
{
    if (!S_ISREG(lock->status.st_mode))
        return REZLOCK_UNKNOWN;
    if (lock->status.st_nlink == 1)
        return is_older(lock, clock, REZLOCK_NAMELESS_AGE_MIN_S) && !is_open_and_locked(sys_fd)
                   ? REZLOCK_DEAD
                   : REZLOCK_NAMELESS;
    if (lock->status.st_nlink != 2 || !lock->is_rez)
        return REZLOCK_UNKNOWN;
    if (strcmp(lock->parsed.host, clock->hostname) != 0)
        return REZLOCK_REMOTE;
    if (is_any_alive(lock, clock))
        return REZLOCK_ALIVE;
    return is_older(lock, clock, REZLOCK_AGE_MIN_S) ? REZLOCK_DEAD : REZLOCK_YOUNG;
}

bool rezlock_is_awaited(int sys_fd)
{
    CLEANUP_DIR DIR *dir = NULL;
    struct rezlock_name parsed;
    struct stat status;
    open_sys(sys_fd, &dir);
    if (!dir)
        return false;
    time_t now = (time_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        /* The unique file is made when the waiting begins, and not written to after that. */
        if (entry->d_type != DT_DIR && rezlock_parse_name(entry->d_name, &parsed) &&
            names_stat(sys_fd, entry->d_name, &status) == 0 && S_ISREG(status.st_mode) &&
            status.st_nlink == 1 &&
            llabs((long long)now - clock_file_s(status.st_mtim)) <= WAITER_AGE_MAX_S)
            return true;
    }
    return false;
}

bool rezlock_was_left(int sys_fd, const char *name, const struct rezlock_clock *clock)
{
    struct rezlock lock = {.is_rez = true};
    if (!rezlock_parse_name(name, &lock.parsed) || strcmp(lock.parsed.host, clock->hostname) != 0 ||
        names_stat(sys_fd, name, &lock.status) < 0 || !S_ISREG(lock.status.st_mode) ||
        lock.status.st_nlink != 1)
        return false;
    lock.status.st_ctim = lock.status.st_mtim; /* when it was made, and the waiting began */
    return is_older(&lock, clock, REZLOCK_NAMELESS_AGE_MIN_S) && !is_any_alive(&lock, clock);
}

/* The pid to name: one that runs, else the shortest, as nine hashes of ten are of full length. */
static pid_t likely_pid(const struct rezlock_name *name)
{
    struct process process;
    for (size_t i = 0; i < name->pid_count; i++) {
        if (process_read(name->pids[i], &process) == 0 && !process.kernel_thread)
            return name->pids[i];
    }
    return name->pids[0];
}

static void describe_rez(const struct rezlock *lock, enum rezlock_verdict verdict, double age_s,
                         struct text *holder, struct text *advice)
{
    const char *host = lock->parsed.host;
    pid_t pid = likely_pid(&lock->parsed);
    const char *sure = lock->parsed.pid_count > 1 ? "probably " : "";
    text_printf(holder, "held for %.1f s by a rez process on %shost%s %s (%spid %d, file %s)%s",
                age_s, verdict == REZLOCK_REMOTE ? "" : "this ",
                verdict == REZLOCK_REMOTE ? "" : ",", host, sure, pid, lock->name,
                verdict == REZLOCK_REMOTE  ? ", where this host cannot see whether it still runs"
                : verdict == REZLOCK_ALIVE ? ""
                                           : ", which has ended");
    if (verdict == REZLOCK_REMOTE)
        text_append_string(advice, "If that rez process no longer runs, delete both files");
    else if (verdict == REZLOCK_ALIVE)
        text_printf(advice,
                    "Wait for that process, or end it: pkgcache then removes its lock when it is "
                    "%d s old. If it is not a rez process, delete both files",
                    (int)REZLOCK_AGE_MIN_S);
    else
        text_printf(advice, "pkgcache removes it when it is %d s old: try again",
                    (int)REZLOCK_AGE_MIN_S);
}

void rezlock_describe(const struct rezlock *lock, enum rezlock_verdict verdict,
                      const struct rezlock_clock *clock, struct text *holder, struct text *advice)
{
    double age_s = (double)(clock->now_ns - clock_file_ns(lock->status.st_ctim)) / (double)NS_PER_S;
    age_s = MAX(age_s, 0.0);
    if (lock->is_rez) {
        describe_rez(lock, verdict, age_s, holder, advice);
    } else if (lock->status.st_nlink == 1 && S_ISREG(lock->status.st_mode)) {
        text_printf(
            holder,
            "held for %.1f s by a rez process that is releasing it, or was killed while it did",
            age_s);
        text_printf(advice,
                    "pkgcache removes it when it is %d s old. If no rez process runs, delete it",
                    (int)REZLOCK_NAMELESS_AGE_MIN_S);
    } else {
        text_printf(holder,
                    "held for %.1f s by an unknown program (the file's other name in .sys: %s)",
                    age_s, lock->name[0] ? lock->name : "none");
        text_append_string(advice, "If no rez or pkgcache process runs, delete it");
    }
}

int rezlock_timeout(const struct rezlock *lock, enum rezlock_verdict verdict,
                    const struct rezlock_clock *clock, const char *cache_path, uint64_t waited_ns,
                    struct pkgcache_error *error)
{
    char holder_text[512], advice_text[256];
    struct text holder = text_over(holder_text, sizeof(holder_text));
    struct text advice = text_over(advice_text, sizeof(advice_text));
    rezlock_describe(lock, verdict, clock, &holder, &advice);
    return error_set(error, ETIMEDOUT, "%s/.sys/" LOCK_PUBLIC_NAME ": %s; waited %.1f s. %s",
                     cache_path, holder_text, (double)waited_ns / (double)NS_PER_S, advice_text);
}
