/* What resolvers ask: where is a variant? Repeated look-ups first, else the hash directory. */
#include "cache/store/elements.h"
#include "cache/store/lookup.h"
#include "cache/store/recall.h"
#include "cache/store/stats.h"
#include "cache/store/status.h"
#include "cache/store/used.h"

#include <limits.h>
#include <string.h>

/* Writes the path of a payload into a buffer. */
static int write_path(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                      const char *slot_name, char *buffer, size_t size)
{
    size_t length = strlen(cache->path) + strlen(handle->relative_path) + strlen(slot_name) + 2;
    if (length >= size)
        return -ENAMETOOLONG;
    char *end = stpcpy(stpcpy(buffer, cache->path), "/");
    stpcpy(stpcpy(stpcpy(end, handle->relative_path), "/"), slot_name);
    return 0;
}

/* Finds the slot of a variant, wherever it is. */
static int find(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                struct slot_view *ret)
{
    bool own_only = cache->options.own_only; /* who could replace it is found out each time */
    if (!own_only && recall_find(cache, handle, touch, ret))
        return 0;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, handle, false);
    int result = hash_fd < 0 ? hash_fd : slot_find_trusted(cache, hash_fd, handle, touch, ret);
    if (result == 0 && ret->status == PKGCACHE_FOUND && !own_only)
        recall_note(cache, handle, ret->name);
    return result == -ENOENT ? 0 : result;
}

int pkgcache_get_into(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                      char *buffer, size_t size, enum pkgcache_status *ret_status,
                      struct pkgcache_error *ret_error)
{
    struct slot_view view = {.status = PKGCACHE_NOT_FOUND};
    if (size > 0)
        *buffer = '\0';
    int result = find(cache, handle, touch, &view);
    if (result == 0 && view.status == PKGCACHE_FOUND) {
        result = write_path(cache, handle, view.name, buffer, size);
        used_record(cache, &view);
    }
    if (result < 0)
        error_set(ret_error, -result, "cannot look up %s in %s: %s", handle->qualified_name,
                  cache->path, error_text(-result));
    else
        stats_add(cache, view.status == PKGCACHE_FOUND ? STATS_HITS : STATS_MISSES, 1);
    return status_answer(result < 0 ? result : (int)view.status, PKGCACHE_FOUND, ret_status);
}

int pkgcache_get(struct pkgcache *cache, const struct pkgcache_handle *handle, bool touch,
                 char **ret_root, enum pkgcache_status *ret_status,
                 struct pkgcache_error *ret_error)
{
    char path[PATH_MAX];
    *ret_root = NULL;
    int result = pkgcache_get_into(cache, handle, touch, path, sizeof(path), ret_status, ret_error);
    if (result <= 0)
        return result;
    *ret_root = strdup(path);
    if (*ret_root)
        return result;
    error_set(ret_error, ENOMEM, "out of memory");
    return status_answer(-ENOMEM, PKGCACHE_FOUND, ret_status);
}

int pkgcache_get_many(struct pkgcache *cache, const struct pkgcache_handle *const *handles,
                      size_t count, bool touch, struct pkgcache_result *results, size_t result_size,
                      struct pkgcache_error *ret_error)
{
    int first = 0;
    struct pkgcache_error error = {0};
    if (!elements_have_result(result_size))
        return error_struct_size(ret_error, "get_many", "pkgcache_result");
    for (size_t i = 0; i < count; i++) {
        struct pkgcache_result found = {0};
        if (pkgcache_get(cache, handles[i], touch, &found.root, &found.status, &error) < 0) {
            found.reason = strdup(error.message);
            if (first == 0)
                first = error_set(ret_error, error.code, "%s", error.message);
        }
        elements_give_result(results, result_size, i, &found);
    }
    return first;
}
