/* Verifying payloads: which ones, several at once, and repairing those that are damaged. */
#include "cache/store/lookup.h"
#include "cache/store/own.h"
#include "cache/store/sidecar.h"
#include "cache/store/tree.h"
#include "cache/util/names.h"
#include "cache/verify/repairs.h"
#include "cache/verify/verification.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

enum {
    SCANS_MAX = 8, /* payloads that are read at once */
    REPORT_INTERVAL_MS = 100,
};

/* Adds a payload, which takes the handle over. Returns NULL for want of memory. */
static struct payload *add_payload(struct verification *verification,
                                   struct pkgcache_handle *handle, enum pkgcache_verdict verdict)
{
    struct payload *payload = calloc(1, sizeof(*payload));
    if (payload && verification->count == verification->capacity) {
        size_t capacity = MAX(2 * verification->capacity, (size_t)64);
        void *payloads =
            realloc(verification->payloads, capacity * sizeof(*verification->payloads));
        if (payloads) {
            verification->payloads = payloads;
            verification->capacity = capacity;
        } else {
            free(payload);
            payload = NULL;
        }
    }
    if (!payload) {
        handle_free(handle);
        return NULL;
    }
    *payload = (struct payload){.verification = verification,
                                .handle = handle,
                                .fd = -1,
                                .shall_fd = -ENOENT,
                                .verdict = verdict};
    snprintf(payload->manifest_name, sizeof(payload->manifest_name), "%zu.manifest",
             verification->count);
    verification->payloads[verification->count++] = payload;
    return payload;
}

/* Learns who says where a payload came from, see repairs.c. */
static void learn_who_vouches(struct payload *payload, int hash_fd, int sidecar_fd)
{
    const mode_t others = S_IWGRP | S_IWOTH;
    struct stat sidecar;
    struct stat root;
    struct stat directory;
    payload->is_unvouched = true;
    if (fstat(sidecar_fd, &sidecar) < 0 || fstat(hash_fd, &directory) < 0 ||
        names_stat(hash_fd, payload->slot_name, &root) < 0)
        return;
    uid_t uid = sidecar.st_uid;
    bool may_be_moved = root.st_uid != uid || root.st_mode & S_IWOTH ||
                        (root.st_mode & others && directory.st_mode & others) ||
                        (directory.st_uid != 0 && directory.st_uid != uid) ||
                        !own_was_made_here(payload->verification->cache, hash_fd);
    payload->uid = uid;
    payload->is_unvouched = sidecar.st_mode & others || sidecar.st_nlink > 1 || may_be_moved;
}

static int add_slot(struct verification *verification, int hash_fd, const char *path,
                    const char *file_name, const struct pkgcache_handle *only)
{
    char slot_name[SLOT_NAME_MAX];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct slot_view view;
    if (!slot_name_of_sidecar(file_name, slot_name) ||
        sidecar_read(hash_fd, file_name, &sidecar, NULL) < 0 ||
        (only && !handle_equal(sidecar.handle, only)) ||
        strcmp(sidecar.handle->relative_path, path) != 0)
        return 0;
    slot_view_read(hash_fd, slot_name, sidecar.fd, &view);
    if (view.status != PKGCACHE_FOUND)
        return 0;
    struct payload *payload =
        add_payload(verification, STEAL(sidecar.handle), PKGCACHE_VERDICT_UNKNOWN);
    if (!payload)
        return -ENOMEM;
    strcpy(payload->slot_name, slot_name);
    payload->source_root = STEAL(sidecar.root);
    learn_who_vouches(payload, hash_fd, sidecar.fd);
    payload->root = cache_payload_path(verification->cache, payload->handle, slot_name);
    return payload->root ? 0 : -ENOMEM;
}

static int add_hash_directory(struct verification *verification, int hash_fd, const char *path,
                              const struct pkgcache_handle *only)
{
    struct names names;
    int result = names_open(&names, hash_fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        result = add_slot(verification, hash_fd, path, name, only);
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

static int add_visited_directory(void *context, int hash_fd, const char *path)
{
    const struct verification *verification = context;
    if (cache_is_cancelled(verification->verify->cancel_fd))
        return -ECANCELED;
    return add_hash_directory(context, hash_fd, path, NULL);
}

/* Adds all slots of a handle: one, unless somebody was killed while it was repaired. */
static int add_handle(struct verification *verification, const struct pkgcache_handle *handle)
{
    size_t before = verification->count;
    struct pkgcache_handle *copy;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(verification->cache, handle, false);
    int result = hash_fd == -ENOENT ? 0 : hash_fd;
    if (hash_fd >= 0)
        result = add_hash_directory(verification, hash_fd, handle->relative_path, handle);
    if (result < 0 || verification->count > before)
        return result < 0 ? result : 0;
    result = handle_create(handle->location, handle->name, handle->version, handle->index, &copy,
                           verification->error);
    if (result == 0 && !add_payload(verification, copy, PKGCACHE_VERDICT_GONE))
        result = -ENOMEM;
    return result;
}

static int collect_payloads(struct verification *verification)
{
    const struct pkgcache_verify *verify = verification->verify;
    int result =
        verify->handles ? 0 : tree_visit(verification->cache, add_visited_directory, verification);
    for (size_t i = 0; verify->handles && i < verify->count && result == 0; i++)
        result = add_handle(verification, verify->handles[i]);
    return result;
}

static void count_verdict(struct pkgcache_verify_summary *summary, enum pkgcache_verdict verdict)
{
    size_t *const counters[] = {
        [PKGCACHE_VERDICT_SOUND] = &summary->sound,
        [PKGCACHE_VERDICT_DIGESTED] = &summary->digested,
        [PKGCACHE_VERDICT_DAMAGED] = &summary->damaged,
        [PKGCACHE_VERDICT_REPAIRED] = &summary->repaired,
        [PKGCACHE_VERDICT_GONE] = &summary->gone,
        [PKGCACHE_VERDICT_UNKNOWN] = &summary->unknown,
    };
    ++*counters[verdict];
}

static void finish_payload(struct payload *payload)
{
    struct verification *verification = payload->verification;
    const struct pkgcache_verify *verify = verification->verify;
    struct pkgcache_verified result = {
        .handle = payload->handle,
        .verdict = payload->verdict,
        .root = payload->verdict == PKGCACHE_VERDICT_GONE ? NULL : payload->root,
        .reason = payload->reason,
        .differences = payload->differences,
    };
    count_verdict(verification->summary, payload->verdict);
    if (verify->on_result)
        verify->on_result(verify->context, &result);
}

/* A payload has its verdict; damaged ones have it only when they are repaired, or not. */
static void conclude_scan(struct payload *payload)
{
    struct verification *verification = payload->verification;
    verification->done++;
    if (payload->verdict != PKGCACHE_VERDICT_DAMAGED || !verification->verify->repair)
        finish_payload(payload);
}

static void begin_more(struct verification *verification)
{
    while (verification->under_way < SCANS_MAX && verification->begun < verification->count) {
        struct payload *payload = verification->payloads[verification->begun++];
        int result = payload->root ? payload_scan(payload) : -ENOENT;
        if (result == 0) {
            verification->under_way++;
            continue;
        }
        payload->verdict = result == -ENOENT
                               ? PKGCACHE_VERDICT_GONE
                               : payload_unknown(payload, "it cannot be read", error_text(-result));
        conclude_scan(payload);
    }
}

static struct payload *pop_scanned(struct verification *verification)
{
    pthread_mutex_lock(&verification->lock);
    struct payload *payload = verification->scanned;
    if (payload)
        verification->scanned = payload->next;
    pthread_mutex_unlock(&verification->lock);
    return payload;
}

/* Returns 0, or -ECANCELED: the caller wants no more. */
static int report_progress(struct verification *verification)
{
    const struct pkgcache_verify *verify = verification->verify;
    uint64_t now_ns = clock_monotonic_ns();
    if (!verify->on_progress || now_ns < verification->reported_ns + REPORT_INTERVAL_MS * NS_PER_MS)
        return 0;
    verification->reported_ns = now_ns;
    struct pkgcache_progress progress = {
        .variants = verification->count,
        .variants_done = verification->done,
        .files = verification->summary->files,
        .bytes = verification->summary->bytes,
    };
    for (size_t i = 0; i < verification->begun; i++)
        if (verification->payloads[i]->job) {
            struct copyengine_progress scanned = {.size = sizeof(scanned)};
            copyengine_job_progress(verification->payloads[i]->job, &scanned);
            progress.files += scanned.files;
            progress.bytes += scanned.bytes;
        }
    return verify->on_progress(verify->context, &progress) == 0
               ? 0
               : error_set(verification->error, ECANCELED, "interrupted");
}

/* Sleeps until a scan got on. Returns 0, -ECANCELED, or -errno. */
static int wait_for_scans(struct verification *verification)
{
    struct pollfd fds[] = {{.fd = verification->event_fd, .events = POLLIN},
                           {.fd = verification->verify->cancel_fd, .events = POLLIN}};
    eventfd_t count;
    if (poll(fds, ARRAY_LENGTH(fds), -1) < 0 && errno != EINTR)
        return error_set(verification->error, errno, "poll: %s", strerror(errno));
    if (fds[1].revents)
        return error_set(verification->error, ECANCELED, "interrupted");
    if (fds[0].revents)
        eventfd_read(verification->event_fd, &count);
    return 0;
}

/* Ends the scans that are under way. They end soon, also when the disk hangs. */
static void cancel_scans(struct verification *verification)
{
    for (size_t i = 0; i < verification->begun; i++)
        if (verification->payloads[i]->job)
            copyengine_cancel(verification->payloads[i]->job);
    for (size_t i = 0; i < verification->begun; i++) {
        struct payload *payload = verification->payloads[i];
        if (!payload->job)
            continue;
        copyengine_wait(payload->job);
        copyengine_job_free(payload->job);
        payload->job = NULL;
    }
}

static int scan_all(struct verification *verification)
{
    int result = cache_start_engine(verification->cache, verification->error);
    while (result == 0) {
        begin_more(verification);
        if (verification->under_way == 0)
            break;
        result = wait_for_scans(verification);
        for (struct payload *payload; result == 0 && (payload = pop_scanned(verification));) {
            verification->under_way--;
            payload_judge(payload);
            conclude_scan(payload);
        }
        if (result == 0)
            result = report_progress(verification);
    }
    cancel_scans(verification);
    return result;
}

static bool is_to_be_repaired(const struct payload *payload)
{
    return payload->verdict == PKGCACHE_VERDICT_DAMAGED && payload->verification->verify->repair;
}

/* Repairs what is damaged, and gives the verdicts that were put off for that. */
static int repair_damaged(struct verification *verification, int result)
{
    size_t count = 0;
    CLEANUP_FREE struct repair *repairs = calloc(verification->count + 1, sizeof(*repairs));
    if (!repairs)
        return error_set(verification->error, ENOMEM, "out of memory");
    for (size_t i = 0; i < verification->count; i++) {
        const struct payload *payload = verification->payloads[i];
        if (is_to_be_repaired(payload))
            repairs[count++] = (struct repair){
                .handle = payload->handle,
                .slot_name = payload->slot_name,
                .payload = payload->identity,
                .uid = payload->uid,
                .is_unvouched = payload->is_unvouched,
                .source_root = payload->source_root,
            };
    }
    if (result == 0 && count > 0)
        result = repairs_run(verification->cache, repairs, count, verification->verify->cancel_fd,
                             verification->error);
    count = 0;
    for (size_t i = 0; i < verification->count; i++) {
        struct payload *payload = verification->payloads[i];
        if (!is_to_be_repaired(payload))
            continue;
        payload->reason = repairs[count].reason;
        if (repairs[count++].repaired)
            payload->verdict = PKGCACHE_VERDICT_REPAIRED;
        finish_payload(payload);
    }
    return result;
}

static int open_verification(struct verification *verification)
{
    verification->staging.fd = verification->staging.owner_fd = -1;
    pthread_mutex_init(&verification->lock, NULL);
    heartbeat_init(&verification->heartbeat);
    verification->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (verification->event_fd < 0)
        return -errno;
    if (getrandom(&verification->seed, sizeof(verification->seed), 0) < 0)
        return -errno;
    if (cache_make_directories(verification->cache, NULL) < 0)
        return 0; /* it can be read nevertheless */
    if (staging_open(verification->cache, &verification->staging) < 0 ||
        heartbeat_add(&verification->heartbeat, verification->staging.owner_fd) < 0)
        staging_close(&verification->staging);
    return 0;
}

static void close_verification(struct verification *verification)
{
    if (verification->staging.fd >= 0)
        staging_close(&verification->staging);
    heartbeat_destroy(&verification->heartbeat);
    cleanup_close_fd(&verification->event_fd);
    pthread_mutex_destroy(&verification->lock);
    for (size_t i = 0; i < verification->count; i++)
        payload_free(verification->payloads[i]);
    free(verification->payloads);
}

int pkgcache_verify(struct pkgcache *cache, const struct pkgcache_verify *verify,
                    struct pkgcache_verify_summary *ret_summary, struct pkgcache_error *ret_error)
{
    struct pkgcache_error error = {0};
    struct pkgcache_verify known;
    struct pkgcache_verify_summary summary = {0};
    struct verification verification = {
        .cache = cache, .verify = &known, .summary = &summary, .error = &error};
    if (take_struct(&known, sizeof(known), verify) < 0)
        return error_struct_size(ret_error, "verify", "pkgcache_verify");
    if (give_struct(ret_summary, sizeof(summary), &summary) < 0)
        return error_struct_size(ret_error, "verify", "pkgcache_verify_summary");
    known.cancel_fd = cache_cancel_fd(known.cancel_fd);
    int result = cache_open_directories(cache, &error);
    if (result == 0) {
        result = open_verification(&verification);
        if (result == 0)
            result = collect_payloads(&verification);
        summary.variants = verification.count;
        if (result == 0)
            result = scan_all(&verification);
        if (known.repair)
            result = repair_damaged(&verification, result);
        close_verification(&verification);
    }
    if (result < 0 && error.code == 0)
        error_set(&error, -result, "cannot verify %s: %s", cache->path,
                  result == -ECANCELED ? "interrupted" : error_text(-result));
    give_struct(ret_summary, sizeof(summary), &summary);
    if (ret_error && result < 0)
        *ret_error = error;
    return result;
}
