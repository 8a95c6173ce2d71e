/*
 * One variant, from the first look to its commit. Every step that changes what others see is done
 * with the lock held and after proof that the slot is ours; nothing slow is done with it held.
 */
#include "cache/store/advice.h"
#include "cache/store/heal.h"
#include "cache/store/sidecar.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/stats.h"
#include "cache/store/used.h"
#include "cache/util/text.h"
#include "cache/warm/refusal.h"
#include "cache/warm/run.h"

#include "engine/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

enum {
    LOOK_MS = 1000, /* between two checks of a slot whose directory is not watched */
    LOSSES_MAX = 5, /* a slot lost that often: somebody else's clock, or a bug, takes it */
};

static const char *package_name(const struct addition *addition)
{
    return addition->variant->handle->qualified_name;
}

void addition_finish(struct addition *addition, enum pkgcache_status status, const char *format,
                     ...)
{
    struct run *run = addition->run;
    struct pkgcache_result *result = addition->result;
    assert(addition->stage != STAGE_DONE);
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        result->reason = text_vformat(format, arguments);
        va_end(arguments);
    }
    result->status = status;
    addition->stage = STAGE_DONE;
    if (addition->check) { /* the answer is no longer needed */
        assert(run->checking > 0);
        addition->check->context = NULL;
        run->checking--;
    }
    if (addition->supply)
        addition->supply->kind->settle(addition->supply);
    run_unlink(run, addition);
    addition_record_result(addition);
    if (run->warm.on_result)
        run->warm.on_result(run->warm.context, addition->index, result);
}

static void finish_with_slot(struct addition *addition, enum pkgcache_status status,
                             const char *slot_name, const char *reason)
{
    free(addition->result->root);
    addition->result->root =
        cache_payload_path(addition->run->cache, addition->variant->handle, slot_name);
    if (reason)
        addition_finish(addition, status, "%s", reason);
    else
        addition_finish(addition, status, NULL);
}

/* Looks the variant up. *ret_fd: the hash directory, or -1. */
static int find_slot(const struct addition *addition, int *ret_fd, struct slot_view *ret)
{
    *ret = (struct slot_view){.status = PKGCACHE_NOT_FOUND};
    *ret_fd = cache_open_hash_directory(addition->run->cache, addition->variant->handle, false);
    if (*ret_fd < 0)
        return *ret_fd == -ENOENT ? 0 : *ret_fd;
    return slot_find_other(*ret_fd, addition->variant->handle, addition->replaced, true, ret);
}

static int write_sidecar(struct addition *addition)
{
    const struct pkgcache_variant *variant = addition->variant;
    CLEANUP_JSON struct json_document *requires = NULL;
    struct text text = {0};
    int result = 0;
    if (variant->requires_json)
        result =
            json_parse(variant->requires_json, strlen(variant->requires_json), &requires, NULL);
    if (result < 0)
        return result == -EBADMSG ? -EINVAL : result;
    sidecar_write(&text, variant->handle, variant->root, requires ? requires->root : NULL);
    return text_steal(&text, &addition->sidecar_text, NULL);
}

int addition_stage(struct addition *addition, bool durable)
{
    struct run *run = addition->run;
    int result = 0;
    if (run->staging.fd < 0) {
        result = staging_open(run->cache, &run->staging);
        if (result == 0)
            result = heartbeat_add(&run->heartbeat, run->staging.owner_fd);
        if (result < 0)
            staging_close(&run->staging);
    }
    if (result == 0 && !addition->sidecar_text)
        result = write_sidecar(addition);
    if (result == 0)
        result =
            staging_write(&run->staging, addition->sidecar_name, addition->sidecar_text, durable);
    addition->sidecar_staged = result == 0;
    return result;
}

static void finish_with_error(struct addition *addition, const char *step, int result)
{
    addition_finish(
        addition, PKGCACHE_FAILED, "cannot %s in %s/%s: %s%s", step, addition->run->cache->path,
        addition->variant->handle->relative_path, strerror(-result),
        cache_advice(addition->run->cache, addition->variant->handle->relative_path, -result));
}

/* Of a payload that is supplied nothing is looked at but whether it may be cached. */
static void prepare_supplied(struct addition *addition)
{
    struct refusal refusal;
    addition->root_device = addition->supply->device;
    if (refusal_find(addition->run->cache, addition->variant, NULL, &refusal))
        addition_finish(addition, refusal.status, "%s", refusal.reason);
    else
        run_enqueue(addition->run, addition);
}

/* Whether a manifest is believed. A repair reads the source as it is; and what links lead to is no
 * part of a manifest. */
static bool takes_published(const struct addition *addition)
{
    const struct pkgcache_options *options = &addition->run->cache->options;
    return !options->no_manifests && !addition->replaced &&
           options->symlinks != COPYENGINE_SYMLINKS_FOLLOW;
}

void addition_prepare(struct addition *addition)
{
    CLEANUP_CLOSE int hash_fd = -1;
    struct run *run = addition->run;
    const char *root = addition->variant->root;
    struct slot_view view;
    int result = find_slot(addition, &hash_fd, &view);
    used_record(run->cache, &view);
    stats_add(run->cache, view.status == PKGCACHE_FOUND ? STATS_HITS : STATS_MISSES, 1);
    if (result < 0) {
        finish_with_error(addition, "look it up", result);
    } else if (view.status == PKGCACHE_FOUND) {
        finish_with_slot(addition, PKGCACHE_FOUND, view.name, NULL);
    } else if (addition->supply) {
        prepare_supplied(addition);
    } else if (!root && addition->reports_rootless) {
        addition_finish(addition, PKGCACHE_NOT_FOUND, NULL);
    } else if (!root) {
        addition_finish(addition, PKGCACHE_FAILED,
                        "its root is unknown: give it with \"root\" or --root");
    } else if (*root != '/') {
        addition_finish(addition, PKGCACHE_FAILED, "root %s: it is not an absolute path", root);
    } else {
        const struct root_look look = {
            .own_links = addition->own_links,
            .published_as = takes_published(addition) ? addition->variant->handle : NULL,
        };
        result = roots_add(run->roots, root, &look, addition, &addition->check);
        if (result < 0)
            addition_finish(addition, PKGCACHE_FAILED, "root %s: %s", root, strerror(-result));
        else
            run->checking++;
    }
}

void addition_cancel(struct addition *addition)
{
    struct run *run = addition->run;
    addition->cancelled = true;
    switch (addition->stage) {
    case STAGE_COPYING:
        copyengine_cancel(addition->job);
        return;
    case STAGE_FLUSHING:
    case STAGE_DONE:
        return;
    case STAGE_NEW:
        run_withdraw(run, addition);
        break;
    case STAGE_WAITING:
        wait_queue_remove(&run->wait_queue, &addition->waiter);
        break;
    case STAGE_CHECKING:
        break;
    }
    addition_finish(addition, PKGCACHE_FAILED, "cancelled");
}

void addition_take_root_check(struct addition *addition, struct root_check *check)
{
    struct refusal refusal;
    assert(addition->stage == STAGE_CHECKING && addition->check == check);
    assert(addition->run->checking > 0);
    addition->check = NULL;
    addition->root_device = check->device;
    addition->run->checking--;
    if (check->result == 0 && addition->own_links) {
        addition->source_device = check->device;
        addition->source_inode = check->inode;
    }
    if (check->result == -ELOOP && addition->own_links)
        addition_finish(addition, PKGCACHE_FAILED,
                        "root %s: a symbolic link on the way to it belongs to another user, who "
                        "can change where it leads to",
                        check->root);
    else if (check->result < 0)
        addition_finish(addition, PKGCACHE_FAILED, "root %s: %s", check->root,
                        strerror(-check->result));
    else if (refusal_find(addition->run->cache, addition->variant, check, &refusal))
        addition_finish(addition, refusal.status, "%s", refusal.reason);
    else if (addition_take_published(addition, check) < 0)
        addition_finish(addition, PKGCACHE_FAILED, "out of memory");
    else
        run_enqueue(addition->run, addition);
}

static bool is_same_copy(const struct slot_view *a, const struct slot_view *b)
{
    return strcmp(a->name, b->name) == 0 && a->copying_inode == b->copying_inode &&
           a->beat.tv_sec == b->beat.tv_sec && a->beat.tv_nsec == b->beat.tv_nsec;
}

/* Whether a slot that could not be taken away altogether is still the handle's. */
static bool still_holds(int hash_fd, const struct addition *addition, const struct slot_view *old)
{
    struct slot_view view;
    return slot_find_other(hash_fd, addition->variant->handle, addition->replaced, true, &view) <
               0 ||
           strcmp(view.name, old->name) == 0;
}

/*
 * With the lock held: takes away what is damaged, and the slot that was condemned before the lock
 * was taken if it has not beaten since.
 *
 * @return 0: nobody has the variant; -EAGAIN: somebody does, look again; or -errno
 */
static int make_room(const struct addition *addition, const struct lock *lock, int hash_fd)
{
    const struct pkgcache *cache = addition->run->cache;
    for (;;) {
        struct slot_view view;
        int result =
            slot_find_other(hash_fd, addition->variant->handle, addition->replaced, true, &view);
        if (result < 0)
            return result;
        if (view.status == PKGCACHE_NOT_FOUND && !view.damaged)
            return 0;
        bool dead = addition->condemned.status != PKGCACHE_NOT_FOUND &&
                    is_same_copy(&view, &addition->condemned);
        if (!dead && !view.damaged)
            return -EAGAIN;
        result = slot_retire(cache, lock, hash_fd, view.name, package_name(addition));
        if (result < 0 && still_holds(hash_fd, addition, &view))
            return result;
    }
}

static void drop_slot(struct addition *addition)
{
    if (!addition->slot)
        return;
    heartbeat_remove(&addition->run->heartbeat, addition->slot->copying_fd);
    slot_free(addition->slot);
    addition->slot = NULL;
    addition->announced = false;
}

/* Look-ups will not find this slot, so its manifest is no longer needed. */
static void forget_manifest(const struct addition *addition)
{
    if (addition->slot && !addition->run->cache->options.no_digests)
        slot_manifest_forget(addition->run->cache, addition->variant->handle, addition->slot->name);
}

void addition_abandon(struct addition *addition, const struct lock *lock)
{
    struct slot *slot = addition->slot;
    if (slot && lock && !addition->announced)
        slot_withdraw(slot);
    else if (slot && lock && slot_is_ours(slot) && addition->run->fatal < 0)
        slot_discard(lock, slot, addition->run->staging.fd, package_name(addition));
    else if (slot && lock && slot_is_ours(slot))
        slot_retire(addition->run->cache, lock, slot->hash_fd, slot->name, package_name(addition));
    forget_manifest(addition);
    drop_slot(addition);
}

/* Ends a step that failed. -EAGAIN: somebody else has the variant, look again. */
static bool end_step(struct addition *addition, const struct lock *lock, const char *step,
                     int result)
{
    if (result == 0)
        return true;
    addition_abandon(addition, lock);
    if (result == -EAGAIN)
        run_enqueue(addition->run, addition);
    else
        finish_with_error(addition, step, result);
    return false;
}

bool addition_reserve(struct addition *addition, const struct lock *lock)
{
    struct run *run = addition->run;
    assert(addition->stage == STAGE_NEW && !addition->slot && !addition->announced);
    assert(addition->sidecar_text && addition->sidecar_staged);
    CLEANUP_CLOSE int hash_fd =
        cache_open_hash_directory(run->cache, addition->variant->handle, true);
    if (hash_fd == -ENOTDIR) {
        addition_finish(
            addition, PKGCACHE_FAILED,
            "%s/%s: this, or one of its parent directories, is not a directory: move it away",
            run->cache->path, addition->variant->handle->relative_path);
        return false;
    }
    if (hash_fd >= 0)
        heal_directory(run->cache, lock, hash_fd, package_name(addition));
    int result = hash_fd < 0 ? hash_fd : make_room(addition, lock, hash_fd);
    if (result == 0)
        result =
            slot_reserve(hash_fd, addition->sidecar_text, &run->staging.owner, &addition->slot);
    if (result == 0)
        result = heartbeat_add(&run->heartbeat, addition->slot->copying_fd);
    return end_step(addition, lock, "claim a place for it", result);
}

bool addition_sync_reservation(struct addition *addition)
{
    assert(addition->slot && !addition->announced);
    addition->flush.result = slot_sync_names(addition->slot);
    return addition->flush.result == 0;
}

bool addition_announce(struct addition *addition, const struct lock *lock)
{
    struct run *run = addition->run;
    assert(addition->slot && !addition->announced && addition->sidecar_staged);
    int result = addition->flush.result; /* of the reservation */
    if (result == 0)
        result = make_room(addition, lock, addition->slot->hash_fd);
    if (result == 0)
        result = slot_announce(lock, addition->slot, run->staging.fd, addition->sidecar_name);
    if (result == 0) {
        addition->announced = true;
        addition->sidecar_staged = false;
    }
    return end_step(addition, lock, "claim a place for it", result == -ESTALE ? -EAGAIN : result);
}

/* Waits until the slot that another process fills changes, or its grace time is over. */
static void wait_for_other(struct addition *addition, const struct slot_view *view,
                           const struct owner *owner)
{
    struct run *run = addition->run;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_s = MAX(now.tv_sec - clock_file_s(view->beat), (int64_t)0);
    int64_t left_s = MAX((int64_t)run->cache->options.stall_grace_s - age_s, (int64_t)0) + 1;
    struct waiter *waiter = &addition->waiter;
    waiter->deadline_ns =
        clock_monotonic_ns() +
        (waiter->directory >= 0 ? (uint64_t)left_s * NS_PER_S : LOOK_MS * NS_PER_MS);
    if (owner->pid)
        watch_process(&run->watch, owner);
    addition->stage = STAGE_WAITING;
    if (wait_queue_add(&run->wait_queue, waiter) < 0)
        addition_finish(addition, PKGCACHE_FAILED, "out of memory");
    if (!addition->waited)
        stats_add(run->cache, STATS_WAITS, 1);
    addition->waited = true;
}

/*
 * Whether a copy has not beaten for the grace time while we watched. Says the same as the times of
 * its .copying, and is right also when they are in the future, because somebody set the clock back.
 */
static bool was_seen_to_stall(struct addition *addition, const struct slot_view *view)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (is_same_copy(view, &addition->waited_for))
        return now_ns - addition->waited_since_ns >
               addition->run->cache->options.stall_grace_s * NS_PER_S;
    addition->waited_for = *view;
    addition->waited_since_ns = now_ns;
    return false;
}

/*
 * What to do about a slot that another process fills.
 *
 * @return true: it is condemned, take it over; false: the addition waits, or is finished
 */
static bool judge_other(struct addition *addition, int hash_fd, const struct slot_view *view)
{
    struct run *run = addition->run;
    struct owner owner;
    if (view->status == PKGCACHE_COPY_STALLED && run->cache->options.report_stalled) {
        finish_with_slot(addition, PKGCACHE_COPY_STALLED, view->name,
                         "its copy stalled in another process, and --stalled is report");
        return false;
    }
    if (slot_copier_is_gone(run->cache, hash_fd, view, &owner) || was_seen_to_stall(addition, view))
        return true;
    if (run->warm.no_wait) {
        char reason[256] = "another process copies it";
        if (owner.pid)
            snprintf(reason, sizeof(reason), "process %d (%s on host %s) copies it", owner.pid,
                     owner.command, owner.host);
        finish_with_slot(addition, view->status, view->name, reason);
        return false;
    }
    if (addition->waiter.directory < 0) {
        addition->waiter.directory = watch_directory(&run->watch, hash_fd);
        if (addition->waiter.directory >= 0) {
            run_enqueue(run, addition); /* it may have changed before it was watched: look again */
            return false;
        }
    }
    wait_for_other(addition, view, &owner);
    return false;
}

bool addition_check(struct addition *addition)
{
    struct run *run = addition->run;
    assert(addition->stage == STAGE_NEW && !addition->slot && !addition->job);
    CLEANUP_CLOSE int hash_fd = -1;
    struct slot_view view;
    addition_record_begin(addition);
    int result = find_slot(addition, &hash_fd, &view);
    addition->condemned = (struct slot_view){.status = PKGCACHE_NOT_FOUND};
    if (result == 0 && view.status == PKGCACHE_FOUND) {
        finish_with_slot(addition, PKGCACHE_FOUND, view.name, NULL);
        return false;
    }
    if (result == 0 && view.status != PKGCACHE_NOT_FOUND) {
        if (!judge_other(addition, hash_fd, &view))
            return false;
        addition->condemned = view;
    }
    char reason[SPACE_REASON_MAX];
    if (result == 0 && !addition->tree_staged &&
        (run_lacks_space(run, reason) || run_lacks_room_for(run, addition, reason))) {
        addition_finish(addition, PKGCACHE_SKIPPED, "%s", reason);
        return false;
    }
    if (result == 0 && !addition->sidecar_staged)
        result = addition_stage(addition, run_is_durable(run));
    addition->flush.result = 0;
    return end_step(addition, NULL, "prepare it", result);
}

bool addition_copy(struct addition *addition, const struct lock *lock)
{
    assert(addition->slot && addition->announced && !addition->job);
    if (addition->tree_staged)
        return true;
    end_step(addition, lock, "start its copy", addition_submit(addition));
    return false;
}

void addition_close_manifest(struct addition *addition)
{
    cleanup_close_fd(&addition->manifest_fd);
    addition->manifest_fd = -1;
}

void addition_free(struct addition *addition)
{
    addition_close_manifest(addition);
    addition_forget_published(addition);
    warnings_clear(&addition->warnings);
    free(addition->sidecar_text);
    free(addition->stopped);
}

/* Another process has taken the slot, or it is gone. Begins again, with the tree if it is staged.
 */
static void restart_lost(struct addition *addition, bool tree_staged)
{
    forget_manifest(addition);
    drop_slot(addition);
    addition->tree_staged = tree_staged;
    if (++addition->losses < LOSSES_MAX)
        run_enqueue(addition->run, addition);
    else
        addition_finish(addition, PKGCACHE_FAILED,
                        "another process took over its slot %u times during the copy. Is this "
                        "process paused for longer than %u s at a time (--stall-grace)?",
                        addition->losses, addition->run->cache->options.stall_grace_s);
}

bool addition_place(struct addition *addition, const struct lock *lock)
{
    assert(addition->slot && addition->announced && !addition->job);
    int result = slot_place(lock, addition->slot, addition->run->staging.fd, addition->tree_name);
    if (result == -ENOTEMPTY)
        addition_abandon(addition, lock);
    if (result == -ESTALE || result == -ENOTEMPTY) {
        restart_lost(addition, true);
        return false;
    }
    addition->tree_staged = false;
    /* The flush takes it along. Without it the payload is not digested, which is not its end. */
    if (result == 0 && !addition->run->cache->options.no_digests)
        slot_manifest_keep(addition->run->cache, addition->run->staging.fd, addition->manifest_name,
                           addition->variant->handle, addition->slot->name);
    return end_step(addition, lock, "put its payload into place", result);
}

void addition_flush(struct addition *addition)
{
    assert(addition->slot && addition->announced && !addition->tree_staged);
    addition->stage = STAGE_FLUSHING;
    addition->run->flushing++;
    addition->attributes_result =
        slot_set_root(addition->slot, addition->root_mode, addition->root_mtime);
    addition->flush.tree_fd = addition->slot->payload_fd;
    flusher_add(addition->run->flusher, &addition->flush);
}

bool addition_commit(struct addition *addition, const struct lock *lock)
{
    int result = addition->attributes_result;
    assert(addition->stage == STAGE_FLUSHING && addition->slot && addition->announced);
    assert(addition->run->flushing > 0);
    addition->run->flushing--;
    if (result == 0)
        result = addition->flush.result;
    const struct size size = {addition->result->bytes, addition->result->files};
    if (result == 0)
        result = slot_commit(lock, addition->slot, &size);
    if (result == -ESTALE) {
        restart_lost(addition, false); /* the tree went with the slot */
        return false;
    }
    return end_step(addition, lock, "write its payload to disk", result);
}

void addition_conclude(struct addition *addition)
{
    char name[SLOT_NAME_MAX];
    assert(addition->stage == STAGE_FLUSHING && addition->slot);
    strcpy(name, addition->slot->name);
    int result = run_is_durable(addition->run) ? slot_sync_names(addition->slot) : 0;
    drop_slot(addition);
    if (result < 0)
        finish_with_error(addition, "write its commit to disk", result);
    else
        finish_with_slot(addition, PKGCACHE_CREATED, name, NULL);
}
