/*
 * The lock: adopt, don't break.
 *
 * There are two. The private one, an open-file-description lock on pkgcache.lock, orders our own
 * processes and threads; the kernel gives it back when its owner dies, however it dies. The public
 * one is rez's: whoever succeeds in making a link named .lock.lock has it. We make that link from
 * pkgcache.lock itself, and only with the private lock in hand. So when .lock.lock turns out to be
 * pkgcache.lock, its maker has lost the private lock, which means it is dead, and the lock is
 * simply ours: nothing to prove, nothing to break, nothing to wait for.
 *
 * Where a kill can hit, in the order of the steps, and what the next of us finds:
 *   before the link       no public lock; the private one is free
 *   after the link        .lock.lock is pkgcache.lock: adopted
 *   after the unlink      as before the link
 *   while breaking a rez  its unique file is left with one link, which keeps nobody from anything
 *
 * A lock that is not ours is a rez's. It is broken only when rezlock_judge() says twice, 20 ms
 * apart, that the same lock belongs to a dead rez. Only the owner of the private lock breaks, so
 * none of us can break what another of us has just made; rez never breaks a lock; and a link cannot
 * replace one. The order matters: .lock.lock goes first, since without its unique file a dead rez's
 * lock would look like one in the middle of its release.
 *
 * What can still go wrong: a person who deletes .lock.lock, and a rez that takes the lock then, in
 * the microseconds between our last look at it and our unlink. And what rezlock.c admits.
 */
#include "cache/lock/lock.h"

#include "cache/lock/lock_file.h"
#include "cache/lock/lock_holder.h"
#include "cache/lock/lock_probe.h"
#include "cache/lock/lock_record.h"
#include "cache/lock/rezlock.h"
#include "cache/util/names.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PRIVATE_PAUSE_MIN_NS (50 * 1000ULL)
#define PRIVATE_PAUSE_MAX_NS (5 * NS_PER_MS)
#define FOREIGN_PAUSE_MIN_NS (1 * NS_PER_MS)
#define FOREIGN_PAUSE_MAX_NS (50 * NS_PER_MS)
#define SECOND_LOOK_NS       (20 * NS_PER_MS)
#define FAIR_PAUSE_NS        (1100 * NS_PER_MS) /* rez tries once a second */
#define FAIR_LOOK_NS         (20 * NS_PER_MS)

struct lock {
    int sys_fd; /* the caller's */
    int fd;     /* pkgcache.lock, with the private lock on it */
    ino_t inode;
    dev_t device;
    bool adopted;
    struct lock_record record; /* as last written */
};

/* One call of lock_acquire(). */
struct acquisition {
    const struct lock_request *request;
    struct pkgcache_error *error;
    struct lock *lock;
    struct owner self;
    uint64_t started_ns;
};

/* What .lock.lock is. */
enum public_state { PUBLIC_FREE, PUBLIC_OURS, PUBLIC_FOREIGN };

static int read_public_state(const struct lock *lock, enum public_state *ret_state)
{
    struct stat status;
    if (names_stat(lock->sys_fd, LOCK_PUBLIC_NAME, &status) < 0) {
        *ret_state = PUBLIC_FREE;
        return errno == ENOENT ? 0 : -errno;
    }
    *ret_state = status.st_ino == lock->inode && status.st_dev == lock->device ? PUBLIC_OURS
                                                                               : PUBLIC_FOREIGN;
    return 0;
}

/*
 * The link count of pkgcache.lock would nearly do, in one call that needs no name. But somebody's
 * hard link raises it although the lock is as it was, and renaming the lock aside leaves it as it
 * was although the lock is lost.
 */
bool lock_still_held(const struct lock *lock)
{
    enum public_state state;
    return read_public_state(lock, &state) == 0 && state == PUBLIC_OURS;
}

bool lock_was_adopted(const struct lock *lock)
{
    return lock->adopted;
}

static uint64_t waited_ns(const struct acquisition *acquisition)
{
    return clock_monotonic_ns() - acquisition->started_ns;
}

/* Waits, but not beyond the deadline. Returns 0, -ECANCELED, or -ETIMEDOUT without a message. */
static int wait_a_little(struct acquisition *acquisition, uint64_t wait_ns)
{
    const struct lock_request *request = acquisition->request;
    uint64_t now_ns = clock_monotonic_ns();
    if (request->cancelled && request->cancelled(request->cancel_argument))
        return error_set(acquisition->error, ECANCELED,
                         "%s/.sys/" LOCK_PUBLIC_NAME ": cancelled while waiting for the lock",
                         request->cache_path);
    if (now_ns >= request->deadline_ns)
        return -ETIMEDOUT;
    wait_ns = MIN(wait_ns, request->deadline_ns - now_ns);
    nanosleep(&(struct timespec){.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                 .tv_nsec = (long)(wait_ns % NS_PER_S)},
              NULL);
    return 0;
}

static struct rezlock_clock clock_for(const struct acquisition *acquisition, uint64_t seen_since_ns)
{
    return (struct rezlock_clock){
        .now_ns = (int64_t)clock_ns(CLOCK_REALTIME),
        .boot_ns = owner_boot_time_ns(),
        .seen_ns = (int64_t)(clock_monotonic_ns() - seen_since_ns),
        .was_set = lock_record_clock_was_set(&acquisition->lock->record, &acquisition->self),
        .hostname = acquisition->self.host,
    };
}

/* Fails with a message that names the pkgcache or rez process that holds the lock. */
static int explain_private(struct acquisition *acquisition)
{
    const struct lock *lock = acquisition->lock;
    const char *cache_path = acquisition->request->cache_path;
    double waited_s = (double)waited_ns(acquisition) / (double)NS_PER_S;
    char holder[LOCK_HOLDER_TEXT_MAX];
    struct rezlock found;
    int result = rezlock_read(lock->sys_fd, &found);
    if (result == 0 && found.status.st_ino != lock->inode) {
        struct rezlock_clock clock = clock_for(acquisition, clock_monotonic_ns());
        return rezlock_timeout(&found, rezlock_judge(lock->sys_fd, &found, &clock), &clock,
                               cache_path, waited_ns(acquisition), acquisition->error);
    }
    if (result < 0)
        return error_set(acquisition->error, ETIMEDOUT,
                         "%s/.sys/" LOCK_PRIVATE_NAME
                         ": other pkgcache processes took the lock first for %.1f s. Try again, or "
                         "raise --lock-timeout",
                         cache_path, waited_s);
    lock_holder_describe(lock->fd, &acquisition->self, holder);
    double age_s = (double)clock_ns(CLOCK_REALTIME) / (double)NS_PER_S -
                   (double)found.status.st_ctim.tv_sec -
                   (double)found.status.st_ctim.tv_nsec / (double)NS_PER_S;
    return error_set(acquisition->error, ETIMEDOUT,
                     "%s/.sys/" LOCK_PUBLIC_NAME
                     ": held for %.1f s by %s; waited %.1f s. Try again when that process is done. "
                     "If it hangs, end it: that frees the lock at once (fuser -v shows which "
                     "process has the file open)",
                     cache_path, MAX(age_s, 0.0), holder, waited_s);
}

/* Waits for our own processes and threads. */
static int take_private(struct acquisition *acquisition)
{
    uint64_t pause_ns = PRIVATE_PAUSE_MIN_NS;
    assert(acquisition->lock->fd >= 0);
    for (;;) {
        assert(pause_ns >= PRIVATE_PAUSE_MIN_NS && pause_ns <= PRIVATE_PAUSE_MAX_NS);
        int result = lock_file_try(acquisition->lock->fd);
        if (result == -EOPNOTSUPP)
            return error_set(
                acquisition->error, EOPNOTSUPP,
                "%s: a cache needs open-file-description locks, and its file system has none (or "
                "its lock service is down). Put the cache on a local disk",
                acquisition->request->cache_path);
        if (result != -EAGAIN) {
            errno = -result;
            return result == 0 ? 0
                               : error_set(acquisition->error, -result,
                                           "%s/.sys/" LOCK_PRIVATE_NAME ": cannot be locked: %m",
                                           acquisition->request->cache_path);
        }
        /* From half to all of it, or those who wait would all come at the same time. */
        uint64_t jitter_ns = clock_monotonic_ns() % (pause_ns / 2);
        result = wait_a_little(acquisition, pause_ns - jitter_ns);
        if (result == -ETIMEDOUT)
            return explain_private(acquisition);
        if (result < 0)
            return result;
        pause_ns = MIN(pause_ns * 2, PRIVATE_PAUSE_MAX_NS);
    }
}

/*
 * A rez tries once a second for ten seconds. If our processes keep the lock busy for more than half
 * of the time, a rez may well find it taken each time, and then it fails. So the next of our
 * processes leaves the lock free for a little longer than a second. It holds the private lock
 * meanwhile, so that our other processes wait too. The pause ends early when the rez has taken the
 * lock, or given up.
 */
static int let_rez_in(struct acquisition *acquisition)
{
    struct lock *lock = acquisition->lock;
    uint64_t start_ns = clock_monotonic_ns();
    if (!lock_record_is_busy(&lock->record, start_ns))
        return 0;
    enum public_state state = PUBLIC_FREE;
    while (clock_monotonic_ns() - start_ns < FAIR_PAUSE_NS && rezlock_is_awaited(lock->sys_fd) &&
           read_public_state(lock, &state) == 0 && state == PUBLIC_FREE) {
        int result = wait_a_little(acquisition, FAIR_LOOK_NS);
        if (result == -ETIMEDOUT)
            return 0; /* being fair must not make us fail: the lock is free, after all */
        if (result < 0)
            return result;
    }
    return 0;
}

/* Removes the lock of a dead rez, and then its unique file. */
static int break_lock(struct acquisition *acquisition, const struct rezlock *dead)
{
    int sys_fd = acquisition->lock->sys_fd;
    assert(dead->is_rez || dead->status.st_nlink == 1); /* a nameless one: rezlock_judge() */
    assert(strcmp(dead->name, LOCK_PRIVATE_NAME) != 0);
    if (unlinkat(sys_fd, LOCK_PUBLIC_NAME, 0) < 0 && errno != ENOENT)
        return error_set(acquisition->error, errno,
                         "%s/.sys/" LOCK_PUBLIC_NAME
                         ": a rez process that has ended left this lock behind, and it cannot be "
                         "removed: %m. Its owner or root can remove it",
                         acquisition->request->cache_path);
    if (dead->is_rez)
        (void)unlinkat(sys_fd, dead->name, 0); /* if it stays, it does no harm */
    return 0;
}

/*
 * .lock.lock is there and not ours. Waits until it is gone, and makes it go if its rez is dead.
 * Returns 0: try the link again; -ESTALE: pkgcache.lock is another file by now; or an error.
 */
static int wait_for_rez(struct acquisition *acquisition)
{
    struct lock *lock = acquisition->lock;
    struct rezlock first, found;
    uint64_t pause_ns = FOREIGN_PAUSE_MIN_NS, seen_since_ns = clock_monotonic_ns();
    int result = rezlock_read(lock->sys_fd, &first);
    for (found = first; result == 0; result = rezlock_read(lock->sys_fd, &found)) {
        assert(pause_ns >= FOREIGN_PAUSE_MIN_NS && pause_ns <= FOREIGN_PAUSE_MAX_NS);
        if (!rezlock_is_same(&found, &first)) {
            first = found;
            seen_since_ns = clock_monotonic_ns();
            pause_ns = FOREIGN_PAUSE_MIN_NS;
        }
        if (strcmp(found.name, LOCK_PRIVATE_NAME) == 0)
            return found.status.st_ino == lock->inode ? 0 : -ESTALE;
        struct rezlock_clock clock = clock_for(acquisition, seen_since_ns);
        enum rezlock_verdict verdict = rezlock_judge(lock->sys_fd, &found, &clock);
        if (verdict == REZLOCK_DEAD) {
            nanosleep(&(struct timespec){.tv_nsec = SECOND_LOOK_NS}, NULL);
            result = rezlock_read(lock->sys_fd, &found);
            if (result == 0 && rezlock_is_same(&found, &first) &&
                rezlock_judge(lock->sys_fd, &found, &clock) == REZLOCK_DEAD)
                return break_lock(acquisition, &found);
        }
        result = wait_a_little(acquisition, pause_ns);
        if (result == -ETIMEDOUT)
            return rezlock_timeout(&found, verdict, &clock, acquisition->request->cache_path,
                                   waited_ns(acquisition), acquisition->error);
        if (result < 0)
            return result;
        pause_ns = MIN(pause_ns * 2, FOREIGN_PAUSE_MAX_NS);
    }
    if (result == -ENOENT)
        return 0;
    return error_set(acquisition->error, -result, "%s/.sys: cannot be read: %s",
                     acquisition->request->cache_path, error_text(-result));
}

static int explain_link(const struct acquisition *acquisition, int code)
{
    const char *cache_path = acquisition->request->cache_path;
    /* The file is open for reading and writing, so this is not about protected_hardlinks. */
    if (code == EPERM || code == EOPNOTSUPP || code == ENOSYS)
        return error_set(acquisition->error, EOPNOTSUPP,
                         "%s: the lock that is shared with rez needs hard links, and its file "
                         "system has none. Put the cache on a local disk",
                         cache_path);
    if (code == EROFS)
        return error_set(acquisition->error, code,
                         "%s: the file system is read-only, so this cache can be read but not "
                         "changed",
                         cache_path);
    errno = code;
    return error_set(acquisition->error, code, "%s/.sys/" LOCK_PUBLIC_NAME ": cannot be made: %m",
                     cache_path);
}

/*
 * We have made the link, and it does not look like ours. Either pkgcache.lock was replaced since it
 * was opened, or this file system cannot carry a lock; then nothing is to be left of it, since rez
 * would wait for it for ever. Returns -ESTALE, or an error.
 */
static int explain_strange_link(const struct acquisition *acquisition)
{
    int sys_fd = acquisition->lock->sys_fd;
    int result = lock_probe(sys_fd, acquisition->request->cache_path, acquisition->error);
    if (result < 0)
        (void)unlinkat(sys_fd, LOCK_PUBLIC_NAME, 0);
    return result < 0 ? result : -ESTALE;
}

/* Writes down that the lock is ours from now on. */
static void begin_to_hold(struct acquisition *acquisition, bool adopted)
{
    struct lock *lock = acquisition->lock;
    uint64_t now_ns = clock_monotonic_ns();
    assert(lock->fd >= 0 && now_ns > 0); /* held_since_ns of 0 means: not held */
    if (adopted && lock->record.held_since_ns)
        lock_record_count(&lock->record, lock->record.held_since_ns, now_ns);
    lock->adopted = adopted;
    lock->record.holder = acquisition->self;
    lock->record.held_since_ns = now_ns;
    lock->record.wall_at_boot_ns = (uint64_t)owner_boot_time_ns();
    lock_record_write(lock->fd, &lock->record);
}

/*
 * With the private lock held. The link is made by name. If pkgcache.lock was replaced since we
 * opened it, the link is to another file: then the caller begins anew with that file (-ESTALE), and
 * adopts the link. The record is written after the link, never before: as long as a foreign lock is
 * there, the record must say what the clock was before that lock was made.
 */
static int take_public(struct acquisition *acquisition)
{
    struct lock *lock = acquisition->lock;
    assert(lock->fd >= 0);
    lock_record_read(lock->fd, &lock->record);
    if (lock_still_held(lock)) {
        begin_to_hold(acquisition, true);
        return 0;
    }
    int result = let_rez_in(acquisition);
    while (result == 0) {
        if (linkat(lock->sys_fd, LOCK_PRIVATE_NAME, lock->sys_fd, LOCK_PUBLIC_NAME, 0) == 0) {
            if (!lock_still_held(lock))
                return explain_strange_link(acquisition);
            begin_to_hold(acquisition, false);
            return 0;
        }
        if (errno == ENOENT)
            return -ESTALE;
        if (errno != EEXIST)
            return explain_link(acquisition, errno);
        if (lock_still_held(lock)) { /* a file server did it, and the answer was lost */
            begin_to_hold(acquisition, false);
            return 0;
        }
        result = wait_for_rez(acquisition);
    }
    return result;
}

/* One attempt, from opening the file to holding the lock; closes the file if it fails. */
static int acquire_once(struct acquisition *acquisition)
{
    struct lock *lock = acquisition->lock;
    struct stat status;
    assert(lock->fd < 0); /* each attempt opens pkgcache.lock anew */
    const char *cache_path = acquisition->request->cache_path;
    int result = lock_file_open(lock->sys_fd, cache_path, &lock->fd, &status, acquisition->error);
    if (result < 0)
        return result;
    lock->inode = status.st_ino;
    lock->device = status.st_dev;
    result = take_private(acquisition);
    if (result == 0)
        result = lock_file_settle(lock->sys_fd, lock->fd, cache_path, acquisition->error);
    /* where the names of one file have different numbers, one of them seems to be elsewhere */
    if (result == -EINVAL && lock_probe(lock->sys_fd, cache_path, acquisition->error) < 0)
        result = -EOPNOTSUPP;
    if (result == 0)
        result = take_public(acquisition);
    if (result < 0) {
        lock_file_unlock(lock->fd);
        close(lock->fd);
        lock->fd = -1;
    }
    return result;
}

int lock_acquire(const struct lock_request *request, struct lock **ret_lock,
                 struct pkgcache_error *error)
{
    assert(request->sys_fd >= 0 && request->cache_path);
    CLEANUP_FREE struct lock *lock = malloc(sizeof(*lock));
    if (!lock)
        return error_set(error, ENOMEM, "%s: not enough memory to lock it", request->cache_path);
    *lock = (struct lock){.sys_fd = request->sys_fd, .fd = -1};
    struct acquisition acquisition = {
        .request = request, .error = error, .lock = lock, .started_ns = clock_monotonic_ns()};
    if (request->owner && request->owner->pid == getpid())
        acquisition.self = *request->owner;
    else
        owner_of_this_process(&acquisition.self);

    int result;
    while ((result = acquire_once(&acquisition)) == -ESTALE) {
        result = wait_a_little(&acquisition, FOREIGN_PAUSE_MIN_NS);
        if (result == -ETIMEDOUT)
            error_set(error, ETIMEDOUT,
                      "%s/.sys/" LOCK_PRIVATE_NAME
                      ": another program keeps replacing this file. Does one clean up in .sys?",
                      request->cache_path);
        if (result < 0)
            break;
    }
    if (result < 0) {
        assert(lock->fd < 0); /* nothing is held */
        return result;
    }
    assert(lock->fd >= 0 && lock->record.held_since_ns > 0 &&
           lock->record.holder.pid == acquisition.self.pid);
    *ret_lock = STEAL(lock);
    return 0;
}

int lock_release(struct lock *lock)
{
    enum public_state state;
    if (!lock)
        return 0;
    assert(lock->fd >= 0 && lock->record.held_since_ns > 0); /* held, and released once */
    lock_record_count(&lock->record, lock->record.held_since_ns, clock_monotonic_ns());
    lock->record.held_since_ns = 0;
    lock_record_write(lock->fd, &lock->record);
    int result = read_public_state(lock, &state);
    if (result == 0 && state != PUBLIC_OURS)
        result = -ESTALE;
    if (result == 0 && unlinkat(lock->sys_fd, LOCK_PUBLIC_NAME, 0) < 0)
        result = -errno;
    lock_file_unlock(lock->fd);
    close(lock->fd);
    free(lock);
    return result;
}
