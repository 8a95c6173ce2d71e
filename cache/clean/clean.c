/*
 * Deleting removed, stalled, damaged and abandoned data, and old logs. What can be deleted without
 * the lock goes first: so a full disk has space before the lock's files are written, and these
 * bytes are freed even if the lock is not free in time.
 *
 * With a time limit each part does at least one step, however late it is. The walk through the
 * slots continues where the last one stopped (clean_state.h), so repeated runs reach everything.
 */
#include "cache/clean/cleaning.h"
#include "cache/clean/evict.h"
#include "cache/lock/rezlock.h"
#include "cache/owner/owner_file.h"
#include "cache/store/damage.h"
#include "cache/store/lease.h"
#include "cache/store/log.h"
#include "cache/store/slot.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/staging.h"
#include "cache/store/stats.h"
#include "cache/store/tree.h"
#include "cache/store/used.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    EMPTY_AGE_S = 60, /* a rez may be between making a hash directory and taking the lock */
    CANDIDATES_KEPT_MAX = 4096, /* in the state for the next clean */
    SECONDS_PER_DAY = 24 * 3600,
    USED_AGE_S = 365 * SECONDS_PER_DAY,
};

static void report_removed(const struct cleaning *cleaning, const char *directory, const char *name,
                           const char *why)
{
    cleaning_report(cleaning, cleaning->options->on_removed, directory, name, why,
                    PKGCACHE_NOT_COUNTED);
}

/* In a cache of several users, each deletes what is his; root deletes everything. */
static bool is_ours(int dirfd, const char *name)
{
    struct stat status;
    return geteuid() == 0 || fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
           status.st_uid == geteuid();
}

/* Deletes a tree for good, and says so. One that cannot be deleted does not stop the others. */
static int delete_tree(struct cleaning *cleaning, int dirfd, const char *directory,
                       const char *name, const char *why)
{
    struct copyengine_error error = {0};
    char text[PATH_MAX + 256];
    int result = 0;
    if (!is_ours(dirfd, name))
        return cleaning_check(cleaning);
    if (!cleaning->options->dry_run)
        result =
            cache_delete_tree(cleaning->cache, dirfd, name, cleaning->options->cancel_fd, &error);
    if (result < 0)
        copyengine_error_text(&error, text, sizeof(text));
    copyengine_error_clear(&error);
    if (result == -ECANCELED)
        return error_set(cleaning->error, ECANCELED, "interrupted");
    if (result < 0) {
        cleaning_report_failure(cleaning, directory, name, text);
        log_write(cleaning->cache, LOGGED_WARNING, "Could not delete %s/%s/%s: %s",
                  cleaning->cache->path, directory, name, text);
    } else {
        report_removed(cleaning, directory, name, why);
        if (!cleaning->options->dry_run)
            log_write(cleaning->cache, LOGGED_INFO, "Deleted %s/%s/%s", cleaning->cache->path,
                      directory, name);
    }
    return cleaning_check(cleaning);
}

/* Whether a process still works in a payload that was removed: it goes when that has ended. */
static bool trash_is_in_use(struct cleaning *cleaning, const char *name)
{
    char path[SLOT_PATH_MAX];
    int length = snprintf(path, sizeof(path), ".sys/to_delete/%s", name);
    return inuse_has(cleaning_find_inuse(cleaning), text_key(path, (size_t)length));
}

static const char trash[] = ".sys/to_delete";

static int clean_trash(struct cleaning *cleaning)
{
    struct names names;
    if (cleaning->cache->trash_fd < 0)
        return 0;
    int result = names_open(&names, cleaning->cache->trash_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if (!trash_is_in_use(cleaning, name))
            result = delete_tree(cleaning, cleaning->cache->trash_fd, trash, name, "was removed");
        else if (!cleaning->walked) /* said once */
            cleaning_report(cleaning, cleaning->options->on_kept, trash, name,
                            "in use by a process", PKGCACHE_NOT_COUNTED);
    }
    names_close(&names);
    return result;
}

static int clean_manifest(void *context, int directory_fd, const char *name)
{
    return delete_tree(context, directory_fd, ".sys/manifests", name, "belongs to no payload");
}

static int clean_manifests(struct cleaning *cleaning)
{
    return slot_manifest_visit_orphans(cleaning->cache, clean_manifest, cleaning);
}

/*
 * Frees the lock if whoever held it is gone. The next of us would adopt it anyway; but a rez that
 * comes first would wait for it in vain.
 */
static int free_abandoned_lock(struct cleaning *cleaning)
{
    const struct pkgcache *cache = cleaning->cache;
    struct stat status;
    struct lock *lock;
    if (!cleaning->options->dry_run &&
        fstatat(cache->sys_fd, LOCK_PUBLIC_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        cache_lock(cache, 0, -1, &lock, NULL) == 0)
        lock_release(lock);
    return 0;
}

static void on_dead_lease(void *context, const char *name)
{
    report_removed(context, ".sys/leases", name, "its process has ended");
}

static int clean_leases(struct cleaning *cleaning)
{
    int result = lease_clean(cleaning->cache, cleaning->options->dry_run, on_dead_lease, cleaning);
    if (result < 0 && result != -ENOMEM)
        cleaning_report_failure(cleaning, ".sys", "leases", strerror(-result));
    return cleaning_check(cleaning);
}

/* As rez does: by the time of the last change of the file, whatever it is called. */
static bool is_old_log(const struct cleaning *cleaning, int log_fd, const char *name)
{
    struct stat status;
    int64_t days = cleaning->options->max_log_days;
    int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    return log_is_file_name(name) && fstatat(log_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode) && now_s - status.st_ctim.tv_sec > days * SECONDS_PER_DAY;
}

static int clean_logs(struct cleaning *cleaning)
{
    struct names names;
    CLEANUP_CLOSE int fd =
        openat(cleaning->cache->sys_fd, "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || cleaning->options->max_log_days == 0)
        return 0;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if (!is_old_log(cleaning, fd, name))
            continue;
        if (!cleaning->options->dry_run && unlinkat(fd, name, 0) < 0)
            cleaning_report_failure(cleaning, ".sys/log", name, strerror(errno));
        else
            report_removed(cleaning, ".sys/log", name, "is an old log");
    }
    names_close(&names);
    return cleaning_check(cleaning);
}

static double age_s(struct timespec time)
{
    return (double)clock_ns(CLOCK_REALTIME) / (double)NS_PER_S - (double)time.tv_sec;
}

/* The name of the staging directory whose owner's file this is; false: it is something else. */
static bool staging_id_of(const char *owner_name, char ret[static NAME_MAX + 1])
{
    static const char suffix[] = STAGING_OWNER_SUFFIX;
    size_t length = strlen(owner_name);
    if (length < sizeof(suffix) || length > NAME_MAX)
        return false;
    length -= sizeof(suffix) - 1;
    if (strcmp(owner_name + length, suffix) != 0)
        return false;
    memcpy(ret, owner_name, length);
    ret[length] = '\0';
    return true;
}

/*
 * Whether something in staging has no owner's file. That of a run is there before its directory, so
 * a directory is nobody's, however young: a clean that was killed while it deleted it has changed
 * it. A file may be on its way to somewhere.
 */
static bool staging_is_foreign(const struct pkgcache *cache, const char *name)
{
    char owner_name[NAME_MAX + 1];
    struct stat status;
    int length = snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, name);
    bool owned = length <= NAME_MAX &&
                 fstatat(cache->staging_fd, owner_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return !owned && fstatat(cache->staging_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           (S_ISDIR(status.st_mode) || age_s(status.st_mtim) > cache->options.stall_grace_s);
}

static bool owner_has_left(const struct pkgcache *cache, const char *owner_name)
{
    struct owner_file file;
    if (owner_file_find(cache->staging_fd, owner_name, &cache->self, cache->options.stall_grace_s,
                        &file) < 0)
        return false;
    return file.state == OWNER_GONE || (file.state == OWNER_UNKNOWN && file.overdue);
}

static int clean_staging(struct cleaning *cleaning)
{
    struct pkgcache *cache = cleaning->cache;
    struct names names;
    if (cache->staging_fd < 0)
        return 0;
    int result = names_open(&names, cache->staging_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char id[NAME_MAX + 1];
        if (!staging_id_of(name, id)) {
            if (staging_is_foreign(cache, name))
                result = delete_tree(cleaning, cache->staging_fd, ".sys/staging", name,
                                     "has no owner record");
        } else if (owner_has_left(cache, name)) {
            result = delete_tree(cleaning, cache->staging_fd, ".sys/staging", id,
                                 "was left behind by a process that has ended");
            if (!cleaning->options->dry_run)
                staging_forget(cache, id);
        }
    }
    names_close(&names);
    return result;
}

/* Whether a directory may be a hash directory: NAME/VERSION/ and four hexadecimal digits. */
static bool is_hash_directory(const char *path)
{
    const char *hash = strrchr(path, '/');
    return hash && strspn(hash + 1, "0123456789abcdef") == 4 && hash[5] == '\0';
}

/* What rezes that were killed while they waited for the lock have left beside it. */
static int clean_waiters(struct cleaning *cleaning)
{
    const struct pkgcache *cache = cleaning->cache;
    const struct rezlock_clock clock = {
        .now_ns = (int64_t)clock_ns(CLOCK_REALTIME),
        .boot_ns = owner_boot_time_ns(),
        .hostname = cache->self.host,
    };
    struct names names;
    int result = names_open(&names, cache->sys_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if (!rezlock_was_left(cache->sys_fd, name, &clock))
            continue;
        if (!cleaning->options->dry_run && unlinkat(cache->sys_fd, name, 0) < 0)
            cleaning_report_failure(cleaning, ".sys", name, strerror(errno));
        else
            report_removed(cleaning, ".sys", name,
                           "was left behind by a rez process that has ended");
    }
    names_close(&names);
    return result;
}

/* Returns 1: there was nothing to retire; 0: there was; or -errno. */
static int retire_rubbish(struct cleaning *cleaning, int hash_fd, const char *path,
                          const char *name)
{
    struct pkgcache *cache = cleaning->cache;
    struct diagnosis before, now;
    damage_diagnose(cache, hash_fd, name, path, NULL, &before);
    now = before;
    if (!damage_kinds[before.damage].heals)
        return 1;
    if (!cleaning->options->dry_run) {
        struct lock *lock;
        int result = cleaning_take_lock(cleaning, &lock);
        if (result < 0)
            return result;
        damage_diagnose(cache, hash_fd, name, path, &before, &now);
        if (damage_kinds[now.damage].heals)
            result = slot_retire(cache, lock, hash_fd, name, "damaged");
        lock_release(lock);
        if ((result == -EACCES || result == -EPERM) && !is_ours(hash_fd, name))
            return 0;
        if (result < 0) {
            cleaning_report_failure(cleaning, path, name, strerror(-result));
            return 0;
        }
        if (damage_kinds[now.damage].heals)
            log_write(cache, LOGGED_INFO, "Removed %s variant %s/%s/%s from cache",
                      now.damage == DAMAGE_STALLED ? "stalled" : "damaged", cache->path, path,
                      name);
    }
    if (!damage_kinds[now.damage].heals)
        return 1;
    report_removed(cleaning, path, name, damage_kinds[now.damage].why);
    return 0;
}

/* Whether a directory has been empty for so long that no rez is about to use it. */
static bool is_long_empty(int fd)
{
    struct stat status;
    struct names names;
    if (names_open(&names, fd) < 0)
        return false;
    bool empty = !names_next(&names) && names.error == 0;
    names_close(&names);
    return empty && fstat(fd, &status) == 0 && age_s(status.st_mtim) >= EMPTY_AGE_S;
}

/* Removes an empty directory, and its parents while they are empty. The lock is held. */
static int remove_empty(const struct pkgcache *cache, const char *path)
{
    CLEANUP_FREE char *name = strdup(path);
    if (!name)
        return -ENOMEM;
    if (unlinkat(cache->fd, name, AT_REMOVEDIR) < 0)
        return -errno;
    for (char *slash; (slash = strrchr(name, '/'));) {
        *slash = '\0';
        if (unlinkat(cache->fd, name, AT_REMOVEDIR) < 0)
            break;
    }
    return 0;
}

static int clean_if_empty(struct cleaning *cleaning, int fd, const char *path)
{
    if (!is_long_empty(fd))
        return 0;
    int result = 0;
    if (!cleaning->options->dry_run) {
        struct lock *lock;
        result = cleaning_take_lock(cleaning, &lock);
        if (result < 0)
            return result;
        result = remove_empty(cleaning->cache, path);
        lock_release(lock);
    }
    if (result == 0)
        report_removed(cleaning, path, "", "was empty");
    return 0;
}

static int clean_slots(struct cleaning *cleaning, int hash_fd, const char *path)
{
    struct names names;
    int result = names_open(&names, hash_fd);
    for (const char *file; result >= 0 && (file = names_next(&names));) {
        char name[SLOT_NAME_MAX];
        if (strncmp(file, SLOT_REMOVED_PREFIX "-", sizeof(SLOT_REMOVED_PREFIX)) == 0)
            result = delete_tree(cleaning, hash_fd, path, file, "was removed");
        if (!damage_find_slot_name(hash_fd, file, names.type, name) || !*name)
            continue;
        result = retire_rubbish(cleaning, hash_fd, path, name);
        if (result == 1)
            result = evict_if_unused(cleaning, hash_fd, path, name);
    }
    names_close(&names);
    return MIN(result, 0);
}

static int clean_hash_directory(void *context, int hash_fd, const char *path)
{
    struct cleaning *cleaning = context;
    if (!is_hash_directory(path))
        return 0;
    int result = clean_slots(cleaning, hash_fd, path);
    if (result == 0)
        result = clean_if_empty(cleaning, hash_fd, path);
    if (result < 0)
        return result;
    snprintf(cleaning->state.after, sizeof(cleaning->state.after), "%s", path);
    return cleaning_check(cleaning);
}

/* Goes through the slots, from where the last clean stopped if both have a time limit. */
static int clean_tree(struct cleaning *cleaning)
{
    struct pkgcache *cache = cleaning->cache;
    struct clean_state *state = &cleaning->state;
    bool sized = cleaning->bytes_max != UINT64_MAX;
    state->limit = cleaning->deadline_ns ? CANDIDATES_KEPT_MAX : SIZE_MAX;
    if (cleaning->deadline_ns)
        clean_state_load(cache, state);
    if (sized && !state->sized)
        clean_state_clear(state); /* what was passed is not counted */
    state->sized = sized;
    int result = tree_visit_after(cache, state->after, clean_hash_directory, cleaning);
    if (result == 0 && sized)
        result = evict_for_size(cleaning);
    if (cleaning->options->dry_run)
        return result;
    if (result == CLEANING_TIME_IS_OVER)
        clean_state_save(cache, state); /* else the next one begins at the beginning */
    else if (result == 0)
        clean_state_forget(cache);
    return result;
}

static int clean_parent(void *context, int fd, const char *path)
{
    int result = clean_if_empty(context, fd, path);
    return result ? result : cleaning_check(context);
}

/* Directories of names and versions without a hash directory were left by a killed process. */
static int clean_parents(struct cleaning *cleaning)
{
    int result = tree_visit_level(cleaning->cache, TREE_VERSION, clean_parent, cleaning);
    if (result == 0)
        result = tree_visit_level(cleaning->cache, TREE_NAME, clean_parent, cleaning);
    return result;
}

/* How many bytes the variants may have. */
static int find_maximum(struct cleaning *cleaning)
{
    const struct pkgcache_clean *options = cleaning->options;
    struct statvfs disk;
    cleaning->bytes_max = options->max_bytes ? options->max_bytes : UINT64_MAX;
    if (options->max_disk_percent == 0)
        return 0;
    if (fstatvfs(cleaning->cache->fd, &disk) < 0)
        return error_set(cleaning->error, errno,
                         "%s: cannot find out the size of its file system: %s",
                         cleaning->cache->path, strerror(errno));
    uint64_t part =
        (uint64_t)((double)disk.f_blocks * (double)disk.f_frsize * options->max_disk_percent / 100);
    cleaning->bytes_max = MIN(cleaning->bytes_max, part);
    return 0;
}

static int run_cleaning(struct cleaning *cleaning)
{
    static int (*const parts[])(struct cleaning *) = {
        clean_trash, clean_staging,   clean_waiters, free_abandoned_lock, clean_leases,
        clean_logs,  clean_manifests, clean_tree,    clean_parents,
    };
    int result = find_maximum(cleaning);
    for (size_t i = 0; i < ARRAY_LENGTH(parts) && result >= 0; i++)
        result = parts[i](cleaning);
    cleaning->walked = true;
    if (result == 0 && !cleaning->options->dry_run)
        result = clean_trash(cleaning); /* what has come into it */
    return MIN(result, 0);
}

int pkgcache_clean(struct pkgcache *cache, const struct pkgcache_clean *options,
                   struct pkgcache_error *ret_error)
{
    struct pkgcache_error error = {0};
    struct pkgcache_clean known;
    struct cleaning cleaning = {.cache = cache, .options = &known, .error = &error};
    if (take_struct(&known, sizeof(known), options) < 0)
        return error_struct_size(ret_error, "clean", "pkgcache_clean");
    known.cancel_fd = cache_cancel_fd(known.cancel_fd);
    if (known.time_limit_s > 0)
        cleaning.deadline_ns =
            clock_monotonic_ns() + (uint64_t)(known.time_limit_s * (double)NS_PER_S);
    int result = cache_open_directories(cache, ret_error);
    if (result < 0)
        return result;
    result = run_cleaning(&cleaning);
    inuse_free(&cleaning.inuse);
    clean_state_clear(&cleaning.state);
    if (!known.dry_run) {
        used_clean(cache, USED_AGE_S);
        stats_add(cache, STATS_CLEANS, 1);
        stats_flush(cache);
    }
    if (result < 0 && error.code == 0)
        error_set(&error, -result, "cannot clean %s: %s", cache->path, strerror(-result));
    if (ret_error && result < 0)
        *ret_error = error;
    return result;
}
