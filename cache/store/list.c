/* Lists what is in a cache, and in the queue. Takes no lock. */
#include "cache/store/list.h"

#include "cache/store/lookup.h"
#include "cache/store/pending.h"
#include "cache/store/sidecar.h"
#include "cache/store/size.h"
#include "cache/store/slot_name.h"
#include "cache/store/tree.h"
#include "cache/store/used.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <string.h>

struct listing {
    struct pkgcache *cache;
    int (*visit)(void *context, const struct pkgcache_entry *entry);
    void *context;
    const char *package;  /* only what is called so; NULL: all */
    bool has_records;     /* of use, see used.h */
    pthread_mutex_t lock; /* one call of `visit` at a time */
    int result;           /* what it returned last */
};

/* Passes an entry to the visitor, unless it has asked to stop. */
static int show(struct listing *listing, const struct pkgcache_entry *entry)
{
    pthread_mutex_lock(&listing->lock);
    if (listing->result == 0)
        listing->result = listing->visit(listing->context, entry);
    int result = listing->result;
    pthread_mutex_unlock(&listing->lock);
    return result;
}

static int list_sidecar(struct listing *listing, int hash_fd, const char *path,
                        const char *file_name, const char *slot_name)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct slot_view view;
    if (sidecar_read(hash_fd, file_name, &sidecar, NULL) < 0)
        return 0; /* gone, or damaged: nobody finds it */
    slot_view_read(hash_fd, slot_name, sidecar.fd, &view);
    if (view.status == PKGCACHE_NOT_FOUND || strcmp(sidecar.handle->relative_path, path) != 0 ||
        (listing->package && strcmp(sidecar.handle->qualified_name, listing->package) != 0))
        return 0;
    struct size size = {PKGCACHE_NOT_COUNTED, PKGCACHE_NOT_COUNTED};
    if (view.status == PKGCACHE_FOUND)
        size_kept(sidecar.fd, &size);
    CLEANUP_FREE char *cached_root = cache_payload_path(listing->cache, sidecar.handle, slot_name);
    struct pkgcache_entry entry = {
        .handle = sidecar.handle,
        .status = view.status,
        .cached_root = cached_root,
        .source_root = sidecar.root,
        .last_used = listing->has_records ? used_last(listing->cache, &view) : view.last_used,
        .bytes = size.bytes,
        .files = size.files,
    };
    return cached_root ? show(listing, &entry) : -ENOMEM;
}

static int list_hash_directory(void *context, int hash_fd, const char *path)
{
    struct names names;
    int result = 0;
    names_borrow(&names, hash_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char slot_name[SLOT_NAME_MAX];
        if (slot_name_of_sidecar(name, slot_name))
            result = list_sidecar(context, hash_fd, path, name, slot_name);
    }
    names_close(&names);
    return result;
}

/* Whether anything of a handle is in the cache already. */
static bool is_cached(struct pkgcache *cache, const struct pkgcache_handle *handle)
{
    struct slot_view view;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    return hash_fd >= 0 && slot_find(hash_fd, handle, false, &view) == 0 &&
           view.status != PKGCACHE_NOT_FOUND;
}

static int compare_handles(const void *a, const void *b)
{
    return handle_compare(a, b);
}

static void free_handle(void *handle)
{
    handle_free(handle);
}

/* Lists a handle of the queue, unless it was listed before: then it is in `seen`, which takes it.
 */
static int list_pending_handle(struct listing *listing, struct pkgcache_handle *handle, void **seen)
{
    CLEANUP_HANDLE struct pkgcache_handle *ours = handle;
    if (is_cached(listing->cache, handle))
        return 0;
    struct pkgcache_handle *const *node = tsearch(handle, seen, compare_handles);
    if (!node)
        return -ENOMEM;
    if (*node != handle)
        return 0;
    ours = NULL;
    struct pkgcache_entry entry = {.handle = handle,
                                   .status = PKGCACHE_PENDING,
                                   .bytes = PKGCACHE_NOT_COUNTED,
                                   .files = PKGCACHE_NOT_COUNTED};
    return show(listing, &entry);
}

static int list_pending(struct listing *listing)
{
    struct names names;
    void *seen = NULL; /* of tsearch(3) */
    CLEANUP_CLOSE int pending_fd = cache_open_private(listing->cache, PENDING_DIRECTORY, false);
    if (pending_fd < 0) /* rez was never here; or it is mounted on, which doctor says */
        return pending_fd == -ENOENT || pending_fd == -EXDEV ? 0 : pending_fd;
    int result = names_open(&names, pending_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        struct pkgcache_handle *handle;
        if (pending_read(pending_fd, name, &handle, NULL, NULL) ==
            0) /* else it was taken, or is poison */
            result = list_pending_handle(listing, handle, &seen);
    }
    names_close(&names);
    tdestroy(seen, free_handle);
    return result;
}

int pkgcache_list(struct pkgcache *cache,
                  int (*visit)(void *context, const struct pkgcache_entry *entry), void *context,
                  struct pkgcache_error *ret_error)
{
    struct listing listing = {.cache = cache, .visit = visit, .context = context};
    listing.has_records = used_has_records(cache);
    pthread_mutex_init(&listing.lock, NULL);
    int result = tree_visit_threaded(cache, list_hash_directory, &listing);
    if (result == 0)
        result = list_pending(&listing);
    pthread_mutex_destroy(&listing.lock);
    if (result < 0)
        error_set(ret_error, -result, "cannot list %s: %s", cache->path, error_text(-result));
    return result;
}

/* The hash directories of NAME/VERSION; there may be no such directory. */
static int list_version(struct listing *listing, const char *path)
{
    struct names names;
    CLEANUP_CLOSE int version_fd = tree_open(listing->cache, path);
    if (version_fd < 0)
        return version_fd == -ENOENT || version_fd == -ENOTDIR || version_fd == -ELOOP ? 0
                                                                                       : version_fd;
    int result = names_open(&names, version_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        CLEANUP_FREE char *hash_path = NULL;
        CLEANUP_CLOSE int hash_fd = names_open_directory(version_fd, name);
        if (hash_fd < 0)
            continue;
        result = asprintf(&hash_path, "%s/%s", path, name) < 0
                     ? -ENOMEM
                     : list_hash_directory(listing, hash_fd, hash_path);
    }
    names_close(&names);
    return result;
}

/* Versions and names may both have dashes in them: each place is tried. */
int list_package(struct pkgcache *cache, const char *name,
                 int (*visit)(void *context, const struct pkgcache_entry *entry), void *context)
{
    struct listing listing = {
        .cache = cache, .visit = visit, .context = context, .package = name, .has_records = true};
    if (!*name || *name == '.' || strchr(name, '/'))
        return 0;
    pthread_mutex_init(&listing.lock, NULL);
    CLEANUP_FREE char *path = NULL;
    int result = asprintf(&path, "%s/" HANDLE_NO_VERSION, name) < 0 ? -ENOMEM : 0;
    if (result == 0)
        result = list_version(&listing, path);
    for (const char *dash = name; result == 0 && (dash = strchr(dash + 1, '-'));) {
        strcpy(path, name);
        path[dash - name] = '/';
        result = list_version(&listing, path);
    }
    pthread_mutex_destroy(&listing.lock);
    return result;
}
