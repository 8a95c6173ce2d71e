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
#include "cache/clean/sharing.h"
#include "cache/lock/rezlock.h"
#include "cache/store/damage.h"
#include "cache/store/lease.h"
#include "cache/store/log.h"
#include "cache/store/poison.h"
#include "cache/store/size.h"
#include "cache/store/slot.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/staging.h"
#include "cache/store/stats.h"
#include "cache/store/tree.h"
#include "cache/store/used.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"
#include "engine/same_mount.h"

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

/* What has no size, or a small one. */
static void report_removed(const struct cleaning *cleaning, const char *directory, const char *name,
                           const char *why)
{
    cleaning_report_removed(cleaning, directory, name, why, PKGCACHE_NOT_COUNTED, true);
}

static void report_in_use(const struct cleaning *cleaning, const char *directory, const char *name)
{
    cleaning_report_kept(cleaning, directory, name, "in use by a process", PKGCACHE_NOT_COUNTED);
}

static void report_others(const struct cleaning *cleaning, const char *directory, const char *name)
{
    cleaning_report_kept(cleaning, directory, name,
                         "belongs to another user: that user or root can delete it",
                         PKGCACHE_NOT_COUNTED);
}

/* The size of what a dry run would delete. */
static uint64_t count_bytes(const struct cleaning *cleaning, int dirfd, const char *name)
{
    struct size size;
    struct stat status;
    if (!cleaning->options->on_removed)
        return PKGCACHE_NOT_COUNTED;
    if (size_count(dirfd, name, &size) >= 0)
        return size.bytes;
    return names_stat(dirfd, name, &status) == 0 && S_ISREG(status.st_mode)
               ? (uint64_t)status.st_size
               : PKGCACHE_NOT_COUNTED;
}

/* In a cache of several users, each deletes what is his; root deletes everything. */
static bool is_ours(int dirfd, const char *name)
{
    struct stat status;
    return geteuid() == 0 || names_stat(dirfd, name, &status) < 0 || status.st_uid == geteuid();
}

/* Deletes a tree for good, and says so. One that cannot be deleted does not stop the others. */
static int delete_tree(struct cleaning *cleaning, int dirfd, const char *directory,
                       const char *name, const char *why)
{
    struct copyengine_error error = {0};
    char text[PATH_MAX + 256];
    uint64_t bytes = PKGCACHE_NOT_COUNTED;
    int result = 0;
    if (!is_ours(dirfd, name)) {
        if (!cleaning->walked) /* said once */
            report_others(cleaning, directory, name);
        return cleaning_check(cleaning);
    }
    if (cleaning->options->dry_run)
        bytes = count_bytes(cleaning, dirfd, name);
    else
        result = cache_delete_tree(cleaning->cache, dirfd, name, cleaning->options->cancel_fd,
                                   cleaning->options->on_removed ? &bytes : NULL, &error);
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
        cleaning_report_removed(cleaning, directory, name, why, bytes, true);
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
            report_in_use(cleaning, trash, name);
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
    int result = slot_manifest_visit_orphans(cleaning->cache, clean_manifest, cleaning);
    if (result != -EXDEV)
        return result;
    cleaning_report_failure(cleaning, ".sys", "manifests", error_text(EXDEV));
    return cleaning_check(cleaning);
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
    if (!cleaning->options->dry_run && names_stat(cache->sys_fd, LOCK_PUBLIC_NAME, &status) == 0 &&
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
        cleaning_report_failure(cleaning, ".sys", "leases", error_text(-result));
    return cleaning_check(cleaning);
}

/* As rez does: by the time of the last change of the file, whatever it is called. */
static bool is_old(const struct cleaning *cleaning, int fd, const char *name)
{
    struct stat status;
    int64_t days = cleaning->options->max_log_days;
    int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    return names_stat(fd, name, &status) == 0 && !S_ISDIR(status.st_mode) &&
           now_s - status.st_ctim.tv_sec > days * SECONDS_PER_DAY;
}

/* Deletes the old files of a directory. @param is_one NULL: all of them */
static int clean_old(struct cleaning *cleaning, const char *directory,
                     bool (*is_one)(const char *name), const char *why)
{
    struct names names;
    char path[64];
    CLEANUP_CLOSE int fd = names_open_directory(cleaning->cache->sys_fd, directory);
    if (fd < 0 || cleaning->options->max_log_days == 0)
        return 0;
    snprintf(path, sizeof(path), ".sys/%s", directory);
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if ((is_one && !is_one(name)) || !is_old(cleaning, fd, name))
            continue;
        uint64_t bytes = count_bytes(cleaning, fd, name);
        if (!cleaning->options->dry_run && unlinkat(fd, name, 0) < 0)
            cleaning_report_failure(cleaning, path, name, strerror(errno));
        else
            cleaning_report_removed(cleaning, path, name, why, bytes, true);
    }
    names_close(&names);
    return cleaning_check(cleaning);
}

static int clean_logs(struct cleaning *cleaning)
{
    int result = clean_old(cleaning, "log", log_is_file_name, "is an old log");
    return result == 0
               ? clean_old(cleaning, POISON_DIRECTORY, NULL, "was set aside of the queue long ago")
               : result;
}

static int clean_left_staging(void *context, const char *id, const char *why)
{
    struct cleaning *cleaning = context;
    int result = delete_tree(cleaning, cleaning->cache->staging_fd, ".sys/staging", id, why);
    if (!cleaning->options->dry_run)
        staging_forget(cleaning->cache, id);
    return result;
}

static int clean_staging(struct cleaning *cleaning)
{
    return staging_find_left(cleaning->cache, clean_left_staging, cleaning);
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

/*
 * Deletes a payload that could not be moved away, where it is: in the lower layer of an overlay. It
 * has no sidecar any more, and as long as it is there nobody takes its name. Returns 0 or -errno.
 */
static int delete_in_place(struct cleaning *cleaning, int hash_fd, const char *path,
                           const char *name, const char *why)
{
    if (!inuse_has(cleaning_find_inuse(cleaning), slot_key(path, name)))
        return delete_tree(cleaning, hash_fd, path, name, why);
    report_in_use(cleaning, path, name);
    return 0;
}

/* Whether all that is there of a slot is ours: a part may be gone, and another's left. */
static bool is_all_ours(int hash_fd, const char *name)
{
    char copying[SLOT_FILE_MAX];
    char sidecar[SLOT_FILE_MAX];
    slot_copying_name(name, copying);
    slot_sidecar_name(name, sidecar);
    return is_ours(hash_fd, name) && is_ours(hash_fd, copying) && is_ours(hash_fd, sidecar);
}

/* Takes out a slot that was rubbish, if it still is. Returns 0 or -errno. */
static int retire_rubbish(struct cleaning *cleaning, int hash_fd,
                          struct damage_directory *directory, const char *name,
                          const struct diagnosis *before)
{
    struct pkgcache *cache = cleaning->cache;
    const char *path = directory->path;
    struct diagnosis now = *before;
    if (cleaning_check_cache(cleaning) < 0)
        return -EINVAL;
    if (!cleaning->options->dry_run) {
        struct lock *lock;
        int result = cleaning_take_lock(cleaning, &lock);
        if (result < 0)
            return result;
        damage_diagnose(cache, hash_fd, name, directory, before, &now);
        if (damage_kinds[now.damage].heals)
            result = slot_retire(cache, lock, hash_fd, name, "damaged");
        bool stays = damage_kinds[now.damage].heals && file_is_directory(hash_fd, name);
        lock_release(lock);
        if (result == 0 && stays)
            return delete_in_place(cleaning, hash_fd, path, name, damage_kinds[now.damage].why);
        if ((result == -EACCES || result == -EPERM) && !is_all_ours(hash_fd, name)) {
            report_others(cleaning, path, name);
            return 0;
        }
        if (result < 0) {
            cleaning_report_failure(cleaning, path, name, error_text(-result));
            return 0;
        }
        if (damage_kinds[now.damage].heals)
            log_write(cache, LOGGED_INFO, "Removed %s variant %s/%s/%s from cache",
                      now.damage == DAMAGE_STALLED ? "stalled" : "damaged", cache->path, path,
                      name);
    }
    if (!damage_kinds[now.damage].heals)
        return 0;
    uint64_t bytes = cleaning->options->dry_run ? count_bytes(cleaning, hash_fd, name)
                                                : PKGCACHE_NOT_COUNTED; /* counted when it goes */
    cleaning_report_removed(cleaning, path, name, damage_kinds[now.damage].why, bytes, false);
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
    return empty && fstat(fd, &status) == 0 && clock_age_s(status.st_mtim) >= EMPTY_AGE_S;
}

/* Removes the directory that a path names, without following a link on the way. Cuts its name off.
 */
static int remove_directory(const struct pkgcache *cache, char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return unlinkat(cache->fd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
    *slash = '\0';
    CLEANUP_CLOSE int parent_fd = tree_open(cache, path);
    if (parent_fd < 0)
        return parent_fd;
    return unlinkat(parent_fd, slash + 1, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Removes an empty directory, and its parents while they are empty. The lock is held. */
static int remove_empty(const struct pkgcache *cache, const char *path)
{
    CLEANUP_FREE char *rest = strdup(path);
    if (!rest)
        return -ENOMEM;
    bool removed = false;
    int result = 0;
    for (bool more = true; more && result == 0;) {
        more = strchr(rest, '/');
        result = remove_directory(cache, rest); /* what is left is the path of the one above */
        removed |= result == 0;
    }
    return removed ? 0 : result;
}

static int clean_if_empty(struct cleaning *cleaning, int fd, const char *path)
{
    if (!is_long_empty(fd))
        return 0;
    int result = cleaning_check_cache(cleaning);
    if (result < 0)
        return result;
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

static int clean_slot(struct cleaning *cleaning, int hash_fd, struct damage_directory *directory,
                      const char *name)
{
    CLEANUP_CLOSE int sidecar_fd = -1;
    struct diagnosis diagnosis;
    damage_diagnose_first(cleaning->cache, hash_fd, name, directory, &sidecar_fd, &diagnosis);
    if (sidecar_fd >= 0)
        return evict_if_unused(cleaning, hash_fd, directory->path, name, sidecar_fd);
    bool mounted = diagnosis.damage == DAMAGE_MOUNTED;
    if (!mounted && !damage_kinds[diagnosis.damage].heals)
        return 0;
    pthread_mutex_lock(&cleaning->lock);
    if (mounted)
        cleaning_report_kept(cleaning, directory->path, name, SAME_MOUNT_WHY, PKGCACHE_NOT_COUNTED);
    int result = mounted ? 0 : retire_rubbish(cleaning, hash_fd, directory, name, &diagnosis);
    pthread_mutex_unlock(&cleaning->lock);
    return result;
}

/* Deletes what was removed, and could not be moved to the trash. */
static int clean_removed(struct cleaning *cleaning, int hash_fd, const char *path, const char *name)
{
    pthread_mutex_lock(&cleaning->lock);
    int result = delete_tree(cleaning, hash_fd, path, name, "was removed");
    pthread_mutex_unlock(&cleaning->lock);
    return MIN(result, 0);
}

/* Returns how many names there are, or -errno. */
static int clean_slots(struct cleaning *cleaning, int hash_fd, const char *path)
{
    struct names names;
    struct damage_directory directory = {.path = path};
    char last[SLOT_NAME_MAX] = ""; /* the slot that was cleaned last, by its sidecar's name */
    int count = 0;
    int result = 0;
    names_borrow(&names, hash_fd); /* it was just opened */
    for (const char *file; result == 0 && (file = names_next(&names)); count++) {
        char name[SLOT_NAME_MAX];
        if (strncmp(file, SLOT_REMOVED_PREFIX "-", sizeof(SLOT_REMOVED_PREFIX)) == 0)
            result = clean_removed(cleaning, hash_fd, path, file);
        else if (strcmp(file, last) != 0 &&
                 damage_find_slot_name(hash_fd, file, names.type, name) && *name) {
            slot_name_of_sidecar(file, last);
            result = clean_slot(cleaning, hash_fd, &directory, name);
        }
    }
    names_close(&names);
    damage_directory_free(&directory);
    return result < 0 ? result : count;
}

/* Several threads call it at once, unless there is a time limit. */
static int clean_hash_directory(void *context, int hash_fd, const char *path)
{
    struct cleaning *cleaning = context;
    if (!is_hash_directory(path))
        return 0;
    int result = clean_slots(cleaning, hash_fd, path);
    pthread_mutex_lock(&cleaning->lock);
    if (result == 0)
        result = clean_if_empty(cleaning, hash_fd, path);
    if (result >= 0) {
        snprintf(cleaning->state.after, sizeof(cleaning->state.after), "%s", path);
        result = cleaning_check(cleaning);
    }
    pthread_mutex_unlock(&cleaning->lock);
    return result;
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
    int result = cleaning->deadline_ns
                     ? tree_visit_after(cache, state->after, clean_hash_directory, cleaning)
                     : tree_visit_threaded(cache, clean_hash_directory, cleaning);
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
    cleaning->has_records = used_has_records(cleaning->cache);
    for (size_t i = 0; i < ARRAY_LENGTH(parts) && result >= 0; i++)
        result = parts[i](cleaning);
    cleaning->walked = true;
    if (result == 0 && !cleaning->options->dry_run)
        result = clean_trash(cleaning); /* what has come into it */
    if (result >= 0)
        result = sharing_run(cleaning);
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
    cleaning.deadline_ns = cleaning_deadline(&known);
    int result = cache_open_directories(cache, ret_error);
    if (result < 0)
        return result;
    if (!known.dry_run && cache->sys_fd >= 0 &&
        faccessat(cache->sys_fd, ".", W_OK, AT_EACCESS) < 0 && errno == EACCES)
        return error_set(ret_error, EACCES,
                         "%s: this user may not change it: its owner or root can clean it",
                         cache->path);
    pthread_mutex_init(&cleaning.lock, NULL);
    result = run_cleaning(&cleaning);
    pthread_mutex_destroy(&cleaning.lock);
    inuse_free(&cleaning.inuse);
    clean_state_clear(&cleaning.state);
    if (!known.dry_run) {
        used_clean(cache, USED_AGE_S);
        stats_add(cache, STATS_CLEANS, 1);
        stats_flush(cache);
    }
    if (result < 0 && error.code == 0)
        error_set(&error, -result, "cannot clean %s: %s", cache->path, error_text(-result));
    if (ret_error && result < 0)
        *ret_error = error;
    return result;
}
