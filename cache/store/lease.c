/* Leases. What can be leased is decided where slots are known: pkgcache_lease. */
#include "cache/store/lease.h"

#include "cache/store/lookup.h"
#include "cache/store/slot_name.h"
#include "cache/store/status.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum {
    KEY_DIGITS = 16,
    NAME_SIZE = 2 * KEY_DIGITS + 2, /* SLOT-PROCESS and the NUL */
    UNKNOWN_AGE_S = 30 * 24 * 3600,
};

static void slot_prefix(uint64_t slot, char ret[static KEY_DIGITS + 2])
{
    snprintf(ret, KEY_DIGITS + 2, "%016" PRIx64 "-", slot);
}

/* The process's half is what makes it one process: a command may change its name. */
static void lease_name(uint64_t slot, const struct owner *owner, char ret[static NAME_SIZE])
{
    char text[128];
    int length = snprintf(text, sizeof(text), "%d %" PRIu64 " %" PRIu64 " %s", owner->pid,
                          owner->start_ticks, owner->pid_namespace, owner->boot);
    snprintf(ret, NAME_SIZE, "%016" PRIx64 "-%016" PRIx64, slot, text_key(text, (size_t)length));
}

static const char directory[] = "leases";

/* Whether a name is that of a lease: anything else under leases/ is not ours to delete. */
static bool is_lease_name(const char *name)
{
    return strlen(name) == NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == KEY_DIGITS &&
           name[KEY_DIGITS] == '-' &&
           strspn(name + KEY_DIGITS + 1, "0123456789abcdef") == KEY_DIGITS;
}

/* Writes a lease; it may be there already. The lock is held, and the slot is found: whoever takes
   slots away looks for leases with the lock held, so there is no moment in between. */
static int write_lease(const struct pkgcache *cache, uint64_t slot, const struct owner *owner)
{
    char name[NAME_SIZE];
    char text[OWNER_TEXT_MAX];
    CLEANUP_CLOSE int directory_fd = cache_open_private(cache, directory, true);
    if (directory_fd < 0)
        return directory_fd;
    CLEANUP_CLOSE int fd = -1;
    lease_name(slot, owner, name);
    owner_format(owner, text);
    int result = file_make(directory_fd, name, text, &fd);
    return result == -EEXIST ? 0 : result;
}

/* Ends a lease; there may be none. */
static int end_lease(const struct pkgcache *cache, uint64_t slot, const struct owner *owner)
{
    char name[NAME_SIZE];
    CLEANUP_CLOSE int fd = cache_open_private(cache, directory, false);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    lease_name(slot, owner, name);
    return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* What is known of the process whose lease this is. */
struct lessee {
    struct owner owner;
    bool known;             /* its record could be read */
    struct timespec leased; /* when */
};

/* Reads a lease. What cannot be read is nobody's, and dated the day it was made. */
static bool read_lease(int leases_fd, const char *name, struct lessee *ret)
{
    char text[OWNER_TEXT_MAX];
    struct stat status;
    *ret = (struct lessee){0};
    if (names_stat(leases_fd, name, &status) < 0)
        return false;
    ret->leased = status.st_mtim;
    CLEANUP_CLOSE int fd = file_open(leases_fd, name, O_RDONLY | O_NOFOLLOW);
    ssize_t length = fd < 0 ? -1 : pread(fd, text, sizeof(text), 0);
    ret->known = length > 0 && owner_parse(text, (size_t)length, &ret->owner) == 0;
    return true;
}

/* Whether a lease has ended with its process, as far as `judge` says. */
static bool has_ended(const struct pkgcache *cache, const struct lessee *lessee,
                      enum owner_state (*judge)(const struct owner *, const struct owner *,
                                                const struct timespec *))
{
    enum owner_state state =
        judge(lessee->known ? &lessee->owner : NULL, &cache->self, &lessee->leased);
    int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    return state == OWNER_GONE ||
           (state == OWNER_UNKNOWN && now_s - clock_file_s(lessee->leased) > UNKNOWN_AGE_S);
}

bool lease_is_held(const struct pkgcache *cache, uint64_t slot, bool judge)
{
    char prefix[KEY_DIGITS + 2];
    struct names names;
    CLEANUP_CLOSE int fd = cache_open_private(cache, directory, false);
    if (fd < 0)
        return fd != -ENOENT;
    slot_prefix(slot, prefix);
    bool held = names_open(&names, fd) < 0;
    for (const char *name; !held && (name = names_next(&names));) {
        struct lessee lessee;
        if (strncmp(name, prefix, KEY_DIGITS + 1) == 0)
            held = !judge ||
                   (read_lease(fd, name, &lessee) && !has_ended(cache, &lessee, owner_judge));
    }
    held = held || names.error < 0;
    names_close(&names);
    return held;
}

/* Goes through the leases. */
struct round {
    const struct pkgcache *cache;
    int leases_fd;
    int64_t until_ns; /* what was leased later is passed over: it was not there the first time */
    bool dry_run;
    void (*on_dead)(void *context, const char *name);
    void *context;
};

/* Returns 1 when a lease has ended, and the round goes on to delete it. */
static int visit_lease(const struct round *round, const char *name, bool proven)
{
    struct lessee lessee;
    if (!is_lease_name(name) || !read_lease(round->leases_fd, name, &lessee) ||
        !has_ended(round->cache, &lessee, owner_judge_once))
        return 0;
    if (!proven || clock_file_ns(lessee.leased) > round->until_ns)
        return 1;
    if (!round->dry_run && unlinkat(round->leases_fd, name, 0) < 0)
        return errno == ENOENT ? 1 : -errno;
    if (round->on_dead)
        round->on_dead(round->context, name);
    return 1;
}

static int visit_leases(const struct round *round, bool proven)
{
    struct names names;
    int ended = 0;
    int result = names_open(&names, round->leases_fd);
    for (const char *name; result >= 0 && (name = names_next(&names));) {
        result = visit_lease(round, name, proven);
        ended += result > 0;
    }
    if (result >= 0)
        result = names.error;
    names_close(&names);
    return result < 0 ? result : ended;
}

int lease_clean(const struct pkgcache *cache, bool dry_run,
                void (*on_dead)(void *context, const char *name), void *context)
{
    CLEANUP_CLOSE int fd = cache_open_private(cache, directory, false);
    struct round round = {
        .cache = cache,
        .leases_fd = fd,
        .until_ns = (int64_t)clock_ns(CLOCK_REALTIME),
        .dry_run = dry_run,
        .on_dead = on_dead,
        .context = context,
    };
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int result = visit_leases(&round, false);
    if (result <= 0)
        return result;
    owner_wait_for_proof();
    result = visit_leases(&round, true);
    return MIN(result, 0);
}

/* With the lock held, so that no clean is between its last look at the leases and the removal. */
static int lease_found(struct pkgcache *cache, const struct pkgcache_handle *handle,
                       const struct owner *owner, char **ret_root)
{
    struct slot_view view;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    if (hash_fd < 0)
        return hash_fd == -ENOENT ? PKGCACHE_NOT_FOUND : hash_fd;
    int result = slot_find_trusted(cache, hash_fd, handle, true, &view);
    if (result < 0 || view.status != PKGCACHE_FOUND)
        return result < 0 ? result : (int)view.status;
    CLEANUP_FREE char *root = cache_payload_path(cache, handle, view.name);
    result = root ? write_lease(cache, slot_key(handle->relative_path, view.name), owner) : -ENOMEM;
    if (result < 0)
        return result;
    *ret_root = STEAL(root);
    return PKGCACHE_FOUND;
}

static int find_lessee(const struct pkgcache *cache, pid_t pid, struct owner *ret,
                       struct pkgcache_error *error)
{
    int result = owner_of_process(pid, &cache->self, ret);
    if (result == -ESRCH)
        return error_set(error, ESRCH, "lease: there is no process %d", pid);
    if (result < 0)
        return error_set(error, -result,
                         "lease: process %d cannot be identified: %s; is /proc mounted for this "
                         "pid namespace, and without hidepid?",
                         pid, strerror(-result));
    return 0;
}

/* Returns the status, or -errno. */
static int lease_variant(struct pkgcache *cache, const struct pkgcache_handle *handle, pid_t pid,
                         char **ret_root, struct pkgcache_error *ret_error)
{
    struct owner owner;
    struct lock *lock = NULL;
    char path[PATH_MAX];
    enum pkgcache_status status;
    int result = find_lessee(cache, pid, &owner, ret_error);
    if (result < 0)
        return result;
    result = pkgcache_get_into(cache, handle, true, path, sizeof(path), &status, ret_error);
    if (result <= 0)
        return result < 0 ? result : (int)status; /* the lock would not change that */
    result = cache_open_directories(cache, ret_error);
    if (result == 0)
        result = cache_lock(cache, cache_lock_timeout_ms(cache), -1, &lock, ret_error);
    if (result < 0)
        return result;
    result = lease_found(cache, handle, &owner, ret_root);
    lock_release(lock);
    if (result < 0)
        error_set(ret_error, -result, "cannot lease %s in %s: %s", handle->qualified_name,
                  cache->path, strerror(-result));
    return result;
}

int pkgcache_lease(struct pkgcache *cache, const struct pkgcache_handle *handle, pid_t pid,
                   char **ret_root, enum pkgcache_status *ret_status,
                   struct pkgcache_error *ret_error)
{
    *ret_root = NULL;
    int status = lease_variant(cache, handle, pid, ret_root, ret_error);
    return status_answer(status, PKGCACHE_FOUND, ret_status);
}

int pkgcache_release(struct pkgcache *cache, const struct pkgcache_handle *handle, pid_t pid,
                     struct pkgcache_error *ret_error)
{
    struct owner owner;
    struct slot_view view;
    int result = find_lessee(cache, pid, &owner, ret_error);
    if (result == -ESRCH)
        return 0; /* it ended with the process */
    if (result == 0)
        result = cache_open_directories(cache, ret_error);
    if (result < 0)
        return result;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    result = hash_fd < 0 ? hash_fd : slot_find_trusted(cache, hash_fd, handle, false, &view);
    if (result == 0 && view.status == PKGCACHE_FOUND)
        result = end_lease(cache, slot_key(handle->relative_path, view.name), &owner);
    if (result < 0 && result != -ENOENT)
        return error_set(ret_error, -result, "cannot release %s in %s: %s", handle->qualified_name,
                         cache->path, strerror(-result));
    return 0;
}
