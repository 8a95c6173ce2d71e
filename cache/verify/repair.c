/*
 * Repairs are made by the same code that fills the cache: a warm, to which the damaged slot does
 * not count. So a new slot is claimed, filled, flushed and committed beside it, and only when that
 * is found, also after a power cut, is the damaged one removed.
 *
 * In that order the variant is found all the time, and who is killed anywhere leaves two slots of
 * one handle at worst, of which the next verify repairs the damaged one again, without a copy. The
 * other order would take a payload away, perhaps for one wrong byte in a file that nobody reads,
 * from programs that are about to start with it, and before it is known whether its source still
 * answers. For the same reason a payload that cannot be repaired stays: it is reported, and to be
 * removed, or not, by who reads that.
 */
#include "cache/verify/repair.h"

#include "cache/util/text.h"
#include "cache/warm/run.h"

#include <stdarg.h>
#include <string.h>

void repair_give_reason(struct repair *repair, const char *format, ...)
{
    va_list arguments;
    free(repair->reason);
    va_start(arguments, format);
    repair->reason = text_vformat(format, arguments);
    va_end(arguments);
}

static bool is_same(const struct repair *repair, int hash_fd)
{
    struct slot_manifest_payload now;
    return slot_manifest_stat_payload(hash_fd, repair->slot_name, &now) == 0 &&
           now.inode == repair->payload.inode && now.born_ns == repair->payload.born_ns;
}

/* With the lock held: removes the damaged slot, now that there is another. Returns 0 or -errno. */
static int remove_damaged(struct pkgcache *cache, const struct lock *lock,
                          const struct repair *repair)
{
    struct slot_view other;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, repair->handle, false);
    if (hash_fd < 0)
        return hash_fd;
    int result = slot_find_other(hash_fd, repair->handle, repair->slot_name, false, &other);
    if (result < 0)
        return result;
    if (other.status != PKGCACHE_FOUND)
        return -ESTALE;
    if (is_same(repair, hash_fd))
        result =
            slot_remove(cache, lock, hash_fd, repair->slot_name, repair->handle->qualified_name);
    if (result == 0)
        slot_manifest_forget(cache, repair->handle, repair->slot_name);
    return result;
}

static void conclude(struct pkgcache *cache, const struct lock *lock, struct repair *repair,
                     const struct pkgcache_result *copied)
{
    if (copied->status != PKGCACHE_CREATED && copied->status != PKGCACHE_FOUND) {
        repair_give_reason(repair, "%s",
                           copied->reason ? copied->reason : "it could not be copied again");
        return;
    }
    int result = remove_damaged(cache, lock, repair);
    repair->repaired = result == 0;
    if (result == -ESTALE)
        repair_give_reason(repair, "another process removed its new copy at once");
    else if (result < 0)
        repair_give_reason(repair, "%s", error_text(-result));
}

static int copy_again(struct pkgcache *cache, struct repair *const *repairs,
                      const struct pkgcache_variant *variants, const char *const *replaced,
                      size_t count, const struct repair_how *how, struct pkgcache_error *error)
{
    struct lock *lock = NULL;
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = variants,
        .variant_size = sizeof(*variants),
        .count = count,
        .result_size = sizeof(struct pkgcache_result),
        .cancel_fd = how->cancel_fd,
        .on_progress = how->on_progress,
        .context = how->context,
    };
    const struct warm_extras extras = {.replaced = replaced, .own_links = true};
    struct pkgcache_result *results = calloc(count, sizeof(*results));
    if (!results)
        return error_set(error, ENOMEM, "out of memory");
    int copied = warm_with(cache, &warm, &extras, results, error);
    /* what was copied before it was cancelled is there: then the damaged ones go */
    int result =
        cache_lock(cache, cache_lock_timeout_ms(cache), -1, &lock, copied < 0 ? NULL : error);
    for (size_t i = 0; lock && i < count; i++)
        conclude(cache, lock, repairs[i], &results[i]);
    lock_release(lock);
    pkgcache_results_free(results, sizeof(*results), count);
    free(results);
    return copied < 0 ? copied : result;
}

int repair_run(struct pkgcache *cache, struct repair *const *repairs, size_t count,
               const struct repair_how *how, struct pkgcache_error *ret_error)
{
    CLEANUP_FREE struct pkgcache_variant *variants = calloc(count + 1, sizeof(*variants));
    CLEANUP_FREE const char **replaced = calloc(count + 1, sizeof(*replaced));
    if (!variants || !replaced)
        return error_set(ret_error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        variants[i] = (struct pkgcache_variant){.handle = repairs[i]->handle,
                                                .root = repairs[i]->source_root,
                                                .force = true}; /* it is cached: not refused */
        replaced[i] = repairs[i]->slot_name;
    }
    return count > 0 ? copy_again(cache, repairs, variants, replaced, count, how, ret_error) : 0;
}
