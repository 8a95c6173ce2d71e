/*
 * rez's queue. What is found in it is hostile until it is parsed. Nothing is thrown away here that
 * was not served: a file that holds no handle would stop rez's daemon, so it is moved aside. A
 * variant of another kind has nothing to be cached, and leaves the queue.
 */
#include "cache/store/pending.h"

#include "cache/store/log.h"
#include "cache/store/poison.h"
#include "cache/store/sidecar.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <string.h>

enum { SETTLED_AFTER_S = 5 }; /* rez writes its few hundred bytes at once */

/* What rez calls a variant of another kind; at most so much of it. */
static int refuse_foreign(const struct json *handle, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text name = {0};
    char kind[JSON_QUOTE_SIZE];
    handle_json_is_foreign(handle, &name);
    return error_set(error, ENOMSG, "%.400s, of the kind %s", name.bytes ? name.bytes : "",
                     json_quote(json_member(handle, "key"), kind));
}

/* Reads a file that is open; no other may take its place meanwhile. */
static int read_handle(int fd, struct pkgcache_handle **ret_handle, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_JSON struct json_document *document = NULL;
    int result = file_read(fd, SIDECAR_MAX_BYTES, &text, error);
    if (result == 0)
        result = json_parse(text.bytes ? text.bytes : "", text.length, &document, error);
    if (result == 0)
        result = handle_from_json(document->root, ret_handle, error);
    if (result == -EINVAL && document && handle_json_is_foreign(document->root, NULL))
        result = refuse_foreign(document->root, error);
    return result;
}

int pending_read(int dirfd, const char *name, struct pkgcache_handle **ret_handle,
                 struct stat *ret_status, struct pkgcache_error *ret_error)
{
    char quoted[JSON_QUOTE_SIZE];
    struct pkgcache_error why = {0};
    struct stat status;
    CLEANUP_CLOSE int fd = -1;
    int result = file_open_regular(dirfd, name, &fd, &why);
    if (result == 0 && fstat(fd, &status) < 0)
        result = error_set(&why, errno, "%s", strerror(errno));
    if (result == 0)
        result = read_handle(fd, ret_handle, &why);
    if (result == -ENOMSG)
        return error_set(ret_error, ENOMSG, "%s", why.message);
    if (result < 0) {
        json_quote_string(name, strlen(name), quoted);
        return error_set(ret_error, -result, "%s: %s", quoted, why.message);
    }
    if (ret_status)
        *ret_status = status;
    return 0;
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
    CLEANUP_CLOSE int fd = names_open_directory(sys_fd, PENDING_DIRECTORY);
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

/* A variant that has no payload, of which rez says the same. Its file goes, unless another's may
 * not be deleted. */
static int drop_foreign(struct pkgcache *cache, struct pending *pending, const char *name,
                        const char *why)
{
    if (unlinkat(pending->fd, name, 0) < 0 && errno != ENOENT)
        return keep(pending, name);
    log_write(cache, LOGGED_WARNING, "Not cached - variant is a type that does not have a root: %s",
              why);
    return 0;
}

/* Whether a file's contents are as they will stay, however wrong the clocks are. */
static bool is_settled(const struct stat *status)
{
    time_t age_s = time(NULL) - clock_file_s(status->st_mtim);
    return !S_ISREG(status->st_mode) || age_s > SETTLED_AFTER_S || age_s < -SETTLED_AFTER_S;
}

/* Deals with a file that could not be read. */
static int refuse(struct pkgcache *cache, struct pending *pending, const char *name, int code,
                  const char *why)
{
    struct stat status;
    if (code == -ENOMSG)
        return drop_foreign(cache, pending, name, why);
    bool broken = code == -EBADMSG || code == -EINVAL;
    if (code == -ENOMEM || code == -ENOTSUP) /* no fault of the file's */
        return code;
    if (code == -ENOENT || names_stat(pending->fd, name, &status) < 0)
        return 0;
    if (broken && !is_settled(&status)) {
        pending->unsettled = true;
        return 0;
    }
    bool ours = geteuid() == 0 || status.st_uid == geteuid();
    int result = broken || ours ? poison_set_aside(cache, pending->fd, name, why) : -EACCES;
    if (result == 0 || result == -ENOENT)
        return 0;
    log_write(cache, LOGGED_WARNING, "Pending file %s stays where it is (%s): %s", name,
              strerrordesc_np(-result), why);
    return keep(pending, name);
}

/* Takes a handle into the list. It is freed when that fails. */
static int append(struct pending *pending, const char *name, struct pkgcache_handle *handle,
                  const struct stat *file)
{
    CLEANUP_HANDLE struct pkgcache_handle *ours = handle;
    if (pending->count == pending->capacity) {
        size_t capacity = MAX(2 * pending->capacity, (size_t)64);
        void *entries = realloc(pending->entries, capacity * sizeof(*pending->entries));
        if (!entries)
            return -ENOMEM;
        pending->entries = entries;
        pending->capacity = capacity;
    }
    struct pending_entry *entry = &pending->entries[pending->count];
    *entry = (struct pending_entry){.name = strdup(name), .file = *file};
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
    const struct timespec *since = &a->file.st_mtim;
    const struct timespec *other = &b->file.st_mtim;
    if (since->tv_sec != other->tv_sec)
        return since->tv_sec < other->tv_sec ? -1 : 1;
    if (since->tv_nsec != other->tv_nsec)
        return since->tv_nsec < other->tv_nsec ? -1 : 1;
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
        struct pkgcache_handle *handle = NULL;
        struct pkgcache_error error = {0};
        struct stat file;
        if (tfind(name, &pending->kept, compare_names))
            continue;
        result = pending_read(pending->fd, name, &handle, &file, &error);
        result = result == 0 ? append(pending, name, handle, &file)
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
