/*
 * Deleting what is no use any more. What needs no lock goes first, so that a full disk has room
 * before the lock's files are touched, and a lock that cannot be had does not keep the bytes.
 */
#include "cache/names.h"
#include "cache/owner_file.h"
#include "cache/rezlock.h"
#include "cache/slot.h"
#include "cache/slot_manifest.h"
#include "cache/staging.h"
#include "cache/tree.h"

#include "engine/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum {
    EMPTY_AGE_S = 60, /* a rez may be between making a hash directory and taking the lock */
    NOT_FINISHED = 1, /* the time is over */
};

struct cleaning {
    struct pkgcache *cache;
    const struct pkgcache_clean *options;
    struct pkgcache_error *error;
    uint64_t deadline_ns; /* 0: none */
};

static bool is_cancelled(const struct cleaning *cleaning)
{
    return cache_is_cancelled(cleaning->options->cancel_fd);
}

static void say(const struct cleaning *cleaning,
                void (*callback)(void *context, const char *path, const char *why),
                const char *directory, const char *name, const char *why)
{
    CLEANUP_FREE char *path = NULL;
    if (callback && asprintf(&path, "%s/%s/%s", cleaning->cache->path, directory, name) >= 0)
        callback(cleaning->options->context, path, why);
}

static int check_time(const struct cleaning *cleaning)
{
    bool over = cleaning->deadline_ns && clock_monotonic_ns() > cleaning->deadline_ns;
    return over ? NOT_FINISHED : 0;
}

/* Deletes a tree for good, and says so. One that cannot be deleted does not stop the others. */
static int delete_tree(struct cleaning *cleaning, int dirfd, const char *directory,
                       const char *name, const char *why)
{
    struct copyengine_error error;
    char text[sizeof(error.path) + 256];
    int result = 0;
    if (!cleaning->options->dry_run)
        result =
            cache_delete_tree(cleaning->cache, dirfd, name, cleaning->options->cancel_fd, &error);
    if (result == -ECANCELED)
        return error_set(cleaning->error, ECANCELED, "interrupted");
    if (result < 0)
        say(cleaning, cleaning->options->on_failed, directory, name,
            copyengine_error_text(&error, text, sizeof(text)));
    else
        say(cleaning, cleaning->options->on_removed, directory, name, why);
    return check_time(cleaning);
}

static int clean_trash(struct cleaning *cleaning)
{
    struct names names;
    if (cleaning->cache->trash_fd < 0)
        return 0;
    int result = names_open(&names, cleaning->cache->trash_fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        result =
            delete_tree(cleaning, cleaning->cache->trash_fd, ".sys/to_delete", name, "was removed");
    names_close(&names);
    return result;
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

/* Whether something in staging has no owner's file, and is no run that is just beginning. */
static bool staging_is_foreign(const struct pkgcache *cache, const char *name)
{
    char owner_name[NAME_MAX + 1];
    struct stat status;
    int length = snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, name);
    bool owned = length <= NAME_MAX &&
                 fstatat(cache->staging_fd, owner_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    return !owned && fstatat(cache->staging_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           age_s(status.st_mtim) > cache->options.stall_grace_s;
}

static bool owner_has_left(const struct pkgcache *cache, const char *owner_name)
{
    struct owner_file file;
    CLEANUP_CLOSE int fd =
        openat(cache->staging_fd, owner_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    owner_file_look(fd, &cache->self, cache->options.stall_grace_s, &file);
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
                                     "belongs to nobody");
        } else if (owner_has_left(cache, name)) {
            result = delete_tree(cleaning, cache->staging_fd, ".sys/staging", id,
                                 "was left by a process that is gone");
            if (!cleaning->options->dry_run)
                staging_forget(cache, id);
        }
    }
    names_close(&names);
    return result;
}

/* Whether a slot may have this name: rez's are letters, and so are ours. Others are nobody's to
 * take. */
static bool is_slot_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz");
    return length > 0 && length < SLOT_NAME_MAX && name[length] == '\0';
}

/* Whether a directory may be a hash directory: NAME/VERSION/ and four hexadecimal digits. */
static bool is_hash_directory(const char *path)
{
    const char *hash = strrchr(path, '/');
    return hash && strspn(hash + 1, "0123456789abcdef") == 4 && hash[5] == '\0';
}

/* The slot that a name in a hash directory belongs to; false: to none. */
static bool slot_name_of(const struct names *names, const char *file_name,
                         char ret[static SLOT_NAME_MAX])
{
    static const char copying[] = ".copying-";
    const char *name = file_name;
    if (slot_name_of_sidecar(file_name, ret))
        return is_slot_name(ret);
    if (strncmp(name, copying, sizeof(copying) - 1) == 0)
        name += sizeof(copying) - 1;
    else if (*name == '.' || names->type != DT_DIR)
        return false;
    if (!is_slot_name(name))
        return false;
    strcpy(ret, name);
    return true;
}

/* Why a slot that nobody copies to is no use; NULL: it is, or may be. */
static const char *why_damaged(int hash_fd, const char *name)
{
    char file[SLOT_FILE_MAX];
    struct stat status;
    snprintf(file, sizeof(file), "%s.json", name);
    bool payload = fstatat(hash_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    int result = sidecar_read(hash_fd, file, &sidecar, NULL);
    if (result == -ENOENT)
        return payload ? "has no sidecar" : NULL;
    if (result == -EBADMSG)
        return "its sidecar cannot be read";
    if (result < 0) /* another user's, or of a kind that is not ours to judge */
        return NULL;
    return payload ? NULL : "its payload is missing";
}

/* A slot that is judged. */
struct judgement {
    const char *why;      /* it is no use to anybody; NULL: it is, or may be */
    struct timespec beat; /* of a copy that stalled */
    ino_t copying_inode;
};

/*
 * Judges a slot.
 *
 * @param before what was said of it without the lock; finding out whether a copier is gone takes
 *               20 ms, so with the lock held it is enough that nothing has changed; NULL: judge
 */
static struct judgement judge(const struct pkgcache *cache, int hash_fd, const char *name,
                              const struct judgement *before)
{
    struct judgement judgement = {0};
    struct stat status;
    char file[SLOT_FILE_MAX];
    snprintf(file, sizeof(file), ".copying-%s", name);
    CLEANUP_CLOSE int fd = openat(hash_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        judgement.why = why_damaged(hash_fd, name);
    if (fd < 0 || fstat(fd, &status) < 0)
        return judgement;
    judgement.beat = status.st_mtim;
    judgement.copying_inode = status.st_ino;
    bool gone = before && before->copying_inode == judgement.copying_inode &&
                before->beat.tv_sec == judgement.beat.tv_sec &&
                before->beat.tv_nsec == judgement.beat.tv_nsec;
    if (!before) {
        struct owner_file owner;
        owner_file_look(fd, &cache->self, cache->options.stall_grace_s, &owner);
        gone = owner.state == OWNER_GONE || owner.overdue;
    }
    judgement.why = gone ? "its copy stalled" : NULL;
    return judgement;
}

static int lock_for(const struct cleaning *cleaning, struct lock **ret)
{
    return cache_lock(cleaning->cache, cache_lock_timeout_ms(cleaning->cache),
                      cleaning->options->cancel_fd, ret, cleaning->error);
}

static int retire_rubbish(struct cleaning *cleaning, int hash_fd, const char *path,
                          const char *name)
{
    struct pkgcache *cache = cleaning->cache;
    struct judgement judgement = judge(cache, hash_fd, name, NULL);
    if (!judgement.why)
        return 0;
    if (!cleaning->options->dry_run) {
        struct lock *lock;
        int result = lock_for(cleaning, &lock);
        if (result < 0)
            return result;
        judgement = judge(cache, hash_fd, name, &judgement);
        if (judgement.why)
            result = slot_retire(cache, lock, hash_fd, name, "damaged");
        lock_release(lock);
        if (result < 0) {
            say(cleaning, cleaning->options->on_failed, path, name, strerror(-result));
            return 0;
        }
    }
    if (judgement.why)
        say(cleaning, cleaning->options->on_removed, path, name, judgement.why);
    return 0;
}

static int clean_hash_directory(void *context, int hash_fd, const char *path)
{
    struct cleaning *cleaning = context;
    struct names names;
    if (!is_hash_directory(path))
        return 0;
    int result = 0;
    names_borrow(&names, hash_fd);
    for (const char *file; result == 0 && (file = names_next(&names));) {
        char name[SLOT_NAME_MAX];
        if (is_cancelled(cleaning))
            result = error_set(cleaning->error, ECANCELED, "interrupted");
        else if (slot_name_of(&names, file, name))
            result = retire_rubbish(cleaning, hash_fd, path, name);
    }
    names_close(&names);
    return result ? result : check_time(cleaning);
}

/* Whether a hash directory has been empty for so long that no rez is about to use it. */
static bool is_long_empty(int hash_fd)
{
    struct stat status;
    struct names names;
    names_borrow(&names, hash_fd);
    bool empty = !names_next(&names) && names.error == 0;
    names_close(&names);
    return empty && fstat(hash_fd, &status) == 0 && age_s(status.st_mtim) >= EMPTY_AGE_S;
}

/* Removes an empty hash directory, and its parents while they are empty. The lock is held. */
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

static int clean_empty_directory(void *context, int hash_fd, const char *path)
{
    struct cleaning *cleaning = context;
    if (is_cancelled(cleaning))
        return error_set(cleaning->error, ECANCELED, "interrupted");
    if (!is_hash_directory(path) || !is_long_empty(hash_fd))
        return check_time(cleaning);
    int result = 0;
    if (!cleaning->options->dry_run) {
        struct lock *lock;
        result = lock_for(cleaning, &lock);
        if (result < 0)
            return result;
        result = remove_empty(cleaning->cache, path);
        lock_release(lock);
    }
    if (result == 0)
        say(cleaning, cleaning->options->on_removed, path, "", "was empty");
    return check_time(cleaning);
}

static int clean_manifest(void *context, int directory_fd, const char *name)
{
    return delete_tree(context, directory_fd, ".sys/manifests", name, "belongs to no payload");
}

/*
 * Frees the lock if whoever held it is gone. The next of us would adopt it anyway; but a rez that
 * comes first would wait for it in vain.
 */
static void free_abandoned_lock(const struct cleaning *cleaning)
{
    const struct pkgcache *cache = cleaning->cache;
    struct stat status;
    struct lock *lock;
    if (!cleaning->options->dry_run &&
        fstatat(cache->sys_fd, LOCK_PUBLIC_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        cache_lock(cache, 0, -1, &lock, NULL) == 0)
        lock_release(lock);
}

int pkgcache_clean(struct pkgcache *cache, const struct pkgcache_clean *clean,
                   struct pkgcache_error *ret_error)
{
    struct pkgcache_error error = {0};
    struct pkgcache_clean known;
    struct cleaning cleaning = {
        .cache = cache, .options = &known, .error = ret_error ? ret_error : &error};
    if (take_struct(&known, sizeof(known), clean) < 0)
        return error_set(ret_error, EINVAL,
                         "clean: its options are of a newer library, or no size");
    known.cancel_fd = cache_cancel_fd(known.cancel_fd);
    bool limited = known.time_limit_s > 0;
    *cleaning.error = (struct pkgcache_error){0};
    if (limited)
        cleaning.deadline_ns =
            clock_monotonic_ns() + (uint64_t)(known.time_limit_s * (double)NS_PER_S);
    int result = cache_open_directories(cache, ret_error);
    if (result < 0)
        return result;
    result = clean_trash(&cleaning);
    if (result == 0)
        result = clean_staging(&cleaning);
    free_abandoned_lock(&cleaning);
    if (result == 0 && !limited)
        result = tree_visit(cache, clean_hash_directory, &cleaning);
    if (result == 0)
        result = slot_manifest_visit_orphans(cache, clean_manifest, &cleaning);
    if (result == 0)
        result = tree_visit(cache, clean_empty_directory, &cleaning);
    if (result == 0 && !known.dry_run)
        result = clean_trash(&cleaning);
    if (result == NOT_FINISHED)
        return 0;
    if (result < 0 && cleaning.error->code == 0)
        error_set(cleaning.error, -result, "cannot clean %s: %s", cache->path, strerror(-result));
    return result;
}
