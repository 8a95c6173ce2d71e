/*
 * rez's queue. What is found in it is hostile until it is parsed. Nothing is thrown away here that
 * was not served: a file that holds no handle would stop rez's daemon, so it is moved aside.
 */
#include "cache/store/pending.h"

#include "cache/store/log.h"
#include "cache/store/sidecar.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <string.h>

enum { SETTLED_AFTER_S = 5 }; /* rez writes its few hundred bytes at once */

int pending_read(int dirfd, const char *name, struct pkgcache_handle **ret_handle,
                 struct pkgcache_error *ret_error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    int result = json_read_file(dirfd, name, SIDECAR_MAX_BYTES, &document, ret_error);
    return result < 0 ? result : handle_from_json(document->root, ret_handle, ret_error);
}

/* What begins with a dot is on its way in, or out (NFS). */
static const char *next_name(struct names *names)
{
    const char *name;
    while ((name = names_next(names)) && *name == '.')
        continue;
    return name;
}

bool pending_is_waiting(int sys_fd)
{
    struct names names;
    CLEANUP_CLOSE int fd =
        openat(sys_fd, PENDING_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    names_borrow(&names, fd);
    return next_name(&names) != NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int keep(struct pending *pending, const char *name)
{
    CLEANUP_FREE char *copy = strdup(name);
    char *const *node = copy ? tsearch(copy, &pending->kept, compare_names) : NULL;
    if (!node)
        return -ENOMEM;
    if (*node == copy)
        copy = NULL;
    return 0;
}

int pending_keep(struct pending *pending, const struct pending_entry *entry)
{
    return keep(pending, entry->name);
}

/* Moves a file aside. The reason is written first, so a process that is killed in between loses
 * nothing. */
static int set_aside(struct pkgcache *cache, const struct pending *pending, const char *name,
                     const char *why)
{
    char aside[NAME_MAX + 1];
    char reason[NAME_MAX + 1];
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_CLOSE int aside_fd = cache_open_private(cache, PENDING_ASIDE, true);
    CLEANUP_CLOSE int reason_fd = -1;
    if (aside_fd < 0)
        return aside_fd;
    cache_unique_name(name, aside, sizeof(aside));
    snprintf(reason, sizeof(reason), "%.240s.reason", aside);
    text_printf(&text, "%s: %s\n", name, why);
    int result = text.error ? text.error : file_make(aside_fd, reason, text.bytes, &reason_fd);
    if (result == 0 && renameat(pending->fd, name, aside_fd, aside) < 0) {
        result = -errno;
        unlinkat(aside_fd, reason, 0);
    }
    if (result == 0)
        log_write(cache, LOGGED_WARNING,
                  "Pending file %s holds no handle: %s; moved it to %s/.sys/" PENDING_ASIDE "/%s",
                  name, why, cache->path, aside);
    return result;
}

/* Whether a file's contents are as they will stay, however wrong the clocks are. */
static bool is_settled(const struct stat *status)
{
    time_t age_s = time(NULL) - status->st_mtim.tv_sec;
    return !S_ISREG(status->st_mode) || age_s > SETTLED_AFTER_S || age_s < -SETTLED_AFTER_S;
}

/* Deals with a file that could not be read. */
static int refuse(struct pkgcache *cache, struct pending *pending, const char *name, int code,
                  const char *why)
{
    struct stat status;
    bool broken = code == -EBADMSG || code == -EINVAL;
    if (code == -ENOMEM || code == -ENOTSUP) /* no fault of the file's */
        return code;
    if (code == -ENOENT || fstatat(pending->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (broken && !is_settled(&status)) {
        pending->unsettled = true;
        return 0;
    }
    bool ours = geteuid() == 0 || status.st_uid == geteuid();
    int result = broken || ours ? set_aside(cache, pending, name, why) : -EACCES;
    if (result == 0 || result == -ENOENT)
        return 0;
    log_write(cache, LOGGED_WARNING, "Pending file %s stays where it is (%s): %s", name,
              strerrordesc_np(-result), why);
    return keep(pending, name);
}

/* Takes a handle into the list. It is freed when that fails. */
static int append(struct pending *pending, const char *name, struct pkgcache_handle *handle)
{
    CLEANUP_HANDLE struct pkgcache_handle *ours = handle;
    struct stat status;
    if (pending->count == pending->capacity) {
        size_t capacity = MAX(2 * pending->capacity, (size_t)64);
        void *entries = realloc(pending->entries, capacity * sizeof(*pending->entries));
        if (!entries)
            return -ENOMEM;
        pending->entries = entries;
        pending->capacity = capacity;
    }
    if (fstatat(pending->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* served meanwhile */
    struct pending_entry *entry = &pending->entries[pending->count];
    *entry = (struct pending_entry){.name = strdup(name), .since = status.st_mtim};
    if (!entry->name)
        return -ENOMEM;
    entry->handle = STEAL(ours);
    pending->count++;
    return 0;
}

static int compare_entries(const void *left, const void *right)
{
    const struct pending_entry *a = left;
    const struct pending_entry *b = right;
    if (a->since.tv_sec != b->since.tv_sec)
        return a->since.tv_sec < b->since.tv_sec ? -1 : 1;
    if (a->since.tv_nsec != b->since.tv_nsec)
        return a->since.tv_nsec < b->since.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void forget(struct pending *pending)
{
    for (size_t i = 0; i < pending->count; i++) {
        handle_free(pending->entries[i].handle);
        free(pending->entries[i].name);
    }
    pending->count = 0;
    pending->unsettled = false;
}

static int load(struct pkgcache *cache, struct pending *pending)
{
    struct names names;
    int result = names_open(&names, pending->fd);
    for (const char *name; result == 0 && (name = next_name(&names));) {
        struct pkgcache_handle *handle;
        struct pkgcache_error error = {0};
        if (tfind(name, &pending->kept, compare_names))
            continue;
        result = pending_read(pending->fd, name, &handle, &error);
        result = result == 0 ? append(pending, name, handle)
                             : refuse(cache, pending, name, result, error.message);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

int pending_load(struct pkgcache *cache, struct pending *pending, struct pkgcache_error *ret_error)
{
    int result = 0;
    forget(pending);
    if (pending->fd < 0) {
        pending->fd = cache_open_private(cache, PENDING_DIRECTORY, false);
        result = MIN(pending->fd, 0);
        pending->fd = MAX(pending->fd, -1);
    }
    if (result == 0)
        result = load(cache, pending);
    if (result == 0 && pending->count > 0)
        qsort(pending->entries, pending->count, sizeof(*pending->entries), compare_entries);
    if (result == 0 || result == -ENOENT)
        return 0;
    return error_set(ret_error, -result, "cannot read the queue %s/.sys/" PENDING_DIRECTORY ": %s",
                     cache->path, strerror(-result));
}

void pending_remove(const struct pending *pending, const struct pending_entry *entry)
{
    unlinkat(pending->fd, entry->name, 0);
}

void pending_free(struct pending *pending)
{
    forget(pending);
    free(pending->entries);
    tdestroy(pending->kept, free);
    cleanup_close_fd(&pending->fd);
    *pending = (struct pending){.fd = -1};
}
