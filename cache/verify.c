/*
 * Verifying payloads: each is scanned by the engine, several at once, into a manifest of what is
 * there, and that is compared with the manifest of what shall be there.
 *
 * Nothing is locked, so a payload may be removed while it is read. What is found then is no damage:
 * before anything is said of a payload, its slot has to be found again, with the same directory in
 * it. As a removal takes the slot away first, all that was read before that look was the payload.
 */
#include "cache/comparison.h"
#include "cache/heartbeat.h"
#include "cache/names.h"
#include "cache/repair.h"
#include "cache/staging.h"
#include "cache/tree.h"

#include "engine/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
    SCANS_MAX = 8, /* payloads that are read at once */
    REPORT_INTERVAL_MS = 100,
};

/* A payload that is to be verified. */
struct payload {
    struct verification *verification;
    struct payload *next; /* of those that are scanned */
    struct pkgcache_handle *handle;
    char slot_name[SLOT_NAME_MAX];
    char *root;             /* NULL: the handle was asked for, and is not in the cache */
    char *source_root;      /* NULL: not known */
    char manifest_name[32]; /* in staging */
    int fd;                 /* of the scan's manifest */
    uint64_t offset;        /* where it begins */
    struct slot_manifest_payload identity;
    struct copyengine_job *job;
    enum pkgcache_verdict verdict;
    uint64_t differences;
    char *reason;
};

struct verification {
    struct pkgcache *cache;
    const struct pkgcache_verify *verify;
    struct pkgcache_verify_summary *summary;
    struct pkgcache_error *error;
    struct payload **payloads;
    size_t count;
    size_t capacity;
    size_t begun;
    size_t under_way;
    size_t done;
    struct staging staging; /* its fd is -1 where the cache cannot be written */
    struct heartbeat heartbeat;
    int event_fd;
    uint64_t seed;
    uint64_t reported_ns;

    pthread_mutex_t lock; /* for what the engine's threads hand over */
    struct payload *scanned;
};

const char *pkgcache_difference_text(enum pkgcache_difference difference)
{
    static const char *const texts[] = {
        [PKGCACHE_DIFFERENCE_MISSING] = "is missing",
        [PKGCACHE_DIFFERENCE_ADDED] = "was added",
        [PKGCACHE_DIFFERENCE_TYPE] = "is of another type",
        [PKGCACHE_DIFFERENCE_SIZE] = "has another size",
        [PKGCACHE_DIFFERENCE_CONTENTS] = "has other contents",
        [PKGCACHE_DIFFERENCE_TARGET] = "is a link to something else",
        [PKGCACHE_DIFFERENCE_MODE] = "has another mode",
        [PKGCACHE_DIFFERENCE_TIME] = "has another modification time",
        [PKGCACHE_DIFFERENCE_UNREADABLE] = "cannot be read",
    };
    return texts[difference];
}

/* --- which payloads ------------------------------------------------------------------------- */

static void payload_free(struct payload *payload)
{
    if (!payload)
        return;
    cleanup_close_fd(&payload->fd);
    handle_free(payload->handle);
    free(payload->root);
    free(payload->source_root);
    free(payload->reason);
    free(payload);
}

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
    *payload = (struct payload){
        .verification = verification, .handle = handle, .fd = -1, .verdict = verdict};
    snprintf(payload->manifest_name, sizeof(payload->manifest_name), "%zu.manifest",
             verification->count);
    verification->payloads[verification->count++] = payload;
    return payload;
}

static int add_slot(struct verification *verification, int hash_fd, const char *path,
                    const char *file_name, const struct pkgcache_handle *only)
{
    char slot_name[SLOT_NAME_MAX];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct slot_view view;
    if (!slot_name_of_sidecar(file_name, slot_name) ||
        sidecar_read(hash_fd, file_name, &sidecar, NULL) < 0 ||
        (only && !sidecar_holds(&sidecar, only)) ||
        strcmp(sidecar.handle->relative_path, path) != 0)
        return 0;
    slot_look(hash_fd, slot_name, sidecar.fd, &view);
    if (view.status != PKGCACHE_FOUND)
        return 0;
    struct payload *payload = add_payload(verification, STEAL(sidecar.handle), PKGCACHE_UNKNOWN);
    if (!payload)
        return -ENOMEM;
    strcpy(payload->slot_name, slot_name);
    payload->source_root = STEAL(sidecar.root);
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

static int visit(void *context, int hash_fd, const char *path)
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
    if (result == 0 && !add_payload(verification, copy, PKGCACHE_GONE))
        result = -ENOMEM;
    return result;
}

static int collect(struct verification *verification)
{
    const struct pkgcache_verify *verify = verification->verify;
    int result = verify->handles ? 0 : tree_visit(verification->cache, visit, verification);
    for (size_t i = 0; verify->handles && i < verify->count && result == 0; i++)
        result = add_handle(verification, verify->handles[i]);
    return result;
}

/* --- one payload ---------------------------------------------------------------------------- */

/* Whether the slot is found, with the same directory in it as before. */
static bool is_still_there(const struct payload *payload)
{
    char file_name[SLOT_FILE_MAX];
    struct slot_view view;
    struct slot_manifest_payload now;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    CLEANUP_CLOSE int hash_fd =
        cache_open_hash_directory(payload->verification->cache, payload->handle, false);
    snprintf(file_name, sizeof(file_name), "%s.json", payload->slot_name);
    if (hash_fd < 0 || sidecar_read(hash_fd, file_name, &sidecar, NULL) < 0 ||
        !sidecar_holds(&sidecar, payload->handle))
        return false;
    slot_look(hash_fd, payload->slot_name, sidecar.fd, &view);
    return view.status == PKGCACHE_FOUND &&
           slot_manifest_look(hash_fd, payload->slot_name, &now) == 0 &&
           now.inode == payload->identity.inode && now.born_ns == payload->identity.born_ns;
}

static enum pkgcache_verdict unknown(struct payload *payload, const char *what, const char *why)
{
    if (asprintf(&payload->reason, "%s: %s", what, why) < 0)
        payload->reason = NULL;
    return PKGCACHE_UNKNOWN;
}

static void on_progress(void *context, const struct copyengine_progress *progress)
{
    struct verification *verification = ((struct payload *)context)->verification;
    (void)progress;
    heartbeat_beat(&verification->heartbeat);
    eventfd_write(verification->event_fd, 1);
}

static void on_scanned(void *context)
{
    struct payload *payload = context;
    struct verification *verification = payload->verification;
    pthread_mutex_lock(&verification->lock);
    payload->next = verification->scanned;
    verification->scanned = payload;
    pthread_mutex_unlock(&verification->lock);
    eventfd_write(verification->event_fd, 1);
}

/* The file that the scan writes its manifest to; in memory where nothing can be written. */
static int open_manifest(struct payload *payload)
{
    const struct staging *staging = &payload->verification->staging;
    if (staging->fd < 0) {
        payload->fd = memfd_create("manifest", MFD_CLOEXEC);
        return payload->fd < 0 ? -errno : 0;
    }
    int fd = slot_manifest_create(staging->fd, payload->manifest_name, payload->handle,
                                  &payload->identity);
    if (fd < 0)
        return fd;
    payload->fd = fd;
    payload->offset = (uint64_t)lseek(fd, 0, SEEK_CUR);
    return 0;
}

/* Has a payload scanned. Returns 0; -ENOENT: it is gone; or -errno. */
static int start_scan(struct payload *payload)
{
    const struct verification *verification = payload->verification;
    CLEANUP_CLOSE int hash_fd =
        cache_open_hash_directory(verification->cache, payload->handle, false);
    if (hash_fd < 0)
        return hash_fd;
    int result = slot_manifest_look(hash_fd, payload->slot_name, &payload->identity);
    if (result == 0)
        result = open_manifest(payload);
    if (result < 0)
        return result;
    struct copyengine_scan scan = {
        .size = sizeof(scan),
        .path = payload->root,
        .manifest_fd = payload->fd,
        .sample = verification->verify->sample,
        .seed = verification->seed,
        .on_progress = on_progress,
        .on_done = on_scanned,
        .context = payload,
    };
    return copyengine_submit_scan(verification->cache->engine, &scan, &payload->job);
}

static void on_difference(void *context, enum pkgcache_difference kind, const char *path)
{
    const struct payload *payload = context;
    const struct pkgcache_verify *verify = payload->verification->verify;
    if (verify->on_difference)
        verify->on_difference(verify->context, payload->root, path, kind);
}

/*
 * Makes what the scan found the payload's manifest. It is on disk first: what a power cut leaves of
 * one must not take the place of one that is whole.
 */
static int keep(struct payload *payload)
{
    const struct staging *staging = &payload->verification->staging;
    if (staging->fd < 0)
        return -EROFS;
    if (fdatasync(payload->fd) < 0)
        return -errno;
    return slot_manifest_keep(payload->verification->cache, staging->fd, payload->manifest_name,
                              payload->handle, payload->slot_name);
}

static bool is_of_another_user(const struct payload *payload)
{
    struct stat status;
    return stat(payload->root, &status) == 0 && status.st_uid != geteuid();
}

/* Compares, also with itself: then only what cannot be read is found. */
static int compare(struct payload *payload, int shall_fd, uint64_t shall_offset,
                   struct comparison *ret)
{
    *ret = (struct comparison){.on_difference = on_difference, .context = payload};
    int result = comparison_run(ret, shall_fd, shall_offset, payload->fd, payload->offset);
    payload->differences = ret->differences;
    return result;
}

static enum pkgcache_verdict judge_differences(struct payload *payload,
                                               const struct comparison *comparison)
{
    if (comparison->denied > 0 && is_of_another_user(payload) &&
        comparison->denied + comparison->missing == comparison->differences)
        return unknown(payload, payload->root,
                       "it belongs to another user, and not all of it can be "
                       "read");
    return PKGCACHE_DAMAGED;
}

/* Digests a payload that nothing is known of. */
static enum pkgcache_verdict judge_undigested(struct payload *payload)
{
    struct comparison comparison;
    int result = compare(payload, payload->fd, payload->offset, &comparison);
    if (result < 0)
        return unknown(payload, "its digests", strerror(-result));
    if (comparison.differences > 0)
        return judge_differences(payload, &comparison);
    result = keep(payload);
    return result < 0 ? unknown(payload, "its digests cannot be kept", strerror(-result))
                      : PKGCACHE_DIGESTED;
}

static enum pkgcache_verdict judge(struct payload *payload)
{
    const struct verification *verification = payload->verification;
    struct comparison comparison;
    uint64_t offset;
    CLEANUP_CLOSE int fd = slot_manifest_open(verification->cache, payload->handle,
                                              payload->slot_name, &payload->identity, &offset);
    int result = fd < 0 ? fd : compare(payload, fd, offset, &comparison);
    if (result == -ENOENT || result == -EBADMSG)
        return judge_undigested(payload);
    if (result < 0)
        return unknown(payload, "its manifest", strerror(-result));
    if (comparison.differences > 0)
        return judge_differences(payload, &comparison);
    bool all = verification->verify->sample <= 0 || verification->verify->sample >= 1;
    if (comparison.undigested > 0 && all)
        keep(payload); /* complete from now on; if not, the next time */
    return PKGCACHE_SOUND;
}

/* What becomes of a payload whose scan has ended. */
static void take_scan(struct payload *payload)
{
    struct pkgcache_verify_summary *summary = payload->verification->summary;
    const struct copyengine_result *result = copyengine_wait(payload->job);
    struct copyengine_error error = result->error;
    char text[sizeof(error.path) + 256];
    summary->files += result->progress.files;
    summary->bytes += result->progress.bytes;
    copyengine_job_free(payload->job);
    payload->job = NULL;
    if (!is_still_there(payload))
        payload->verdict = PKGCACHE_GONE;
    else if (error.code)
        payload->verdict = unknown(payload, "it cannot be read",
                                   copyengine_error_text(&error, text, sizeof(text)));
    else
        payload->verdict = judge(payload);
    cleanup_close_fd(&payload->fd);
    payload->fd = -1;
    if (payload->verification->staging.fd >= 0)
        unlinkat(payload->verification->staging.fd, payload->manifest_name, 0);
}

/* --- all of them ---------------------------------------------------------------------------- */

static void finish(struct payload *payload)
{
    struct verification *verification = payload->verification;
    const struct pkgcache_verify *verify = verification->verify;
    struct pkgcache_verified result = {
        .handle = payload->handle,
        .verdict = payload->verdict,
        .root = payload->verdict == PKGCACHE_GONE ? NULL : payload->root,
        .reason = payload->reason,
        .differences = payload->differences,
    };
    verification->summary->verdicts[payload->verdict]++;
    if (verify->on_result)
        verify->on_result(verify->context, &result);
}

/* A payload has its verdict; damaged ones have it only when they are repaired, or not. */
static void conclude(struct payload *payload)
{
    struct verification *verification = payload->verification;
    verification->done++;
    if (payload->verdict != PKGCACHE_DAMAGED || !verification->verify->repair)
        finish(payload);
}

static void begin_more(struct verification *verification)
{
    while (verification->under_way < SCANS_MAX && verification->begun < verification->count) {
        struct payload *payload = verification->payloads[verification->begun++];
        int result = payload->root ? start_scan(payload) : -ENOENT;
        if (result == 0) {
            verification->under_way++;
            continue;
        }
        payload->verdict = result == -ENOENT
                               ? PKGCACHE_GONE
                               : unknown(payload, "it cannot be read", strerror(-result));
        conclude(payload);
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

static void report(struct verification *verification)
{
    const struct pkgcache_verify *verify = verification->verify;
    uint64_t now_ns = clock_monotonic_ns();
    if (!verify->on_progress || now_ns < verification->reported_ns + REPORT_INTERVAL_MS * NS_PER_MS)
        return;
    verification->reported_ns = now_ns;
    struct pkgcache_progress progress = {
        .variants = verification->count,
        .variants_done = verification->done,
        .files = verification->summary->files,
        .bytes = verification->summary->bytes,
    };
    for (size_t i = 0; i < verification->begun; i++)
        if (verification->payloads[i]->job) {
            struct copyengine_progress scanned =
                copyengine_job_progress(verification->payloads[i]->job);
            progress.files += scanned.files;
            progress.bytes += scanned.bytes;
        }
    verify->on_progress(verify->context, &progress);
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
            take_scan(payload);
            conclude(payload);
        }
        report(verification);
    }
    cancel_scans(verification);
    return result;
}

static bool is_to_be_repaired(const struct payload *payload)
{
    return payload->verdict == PKGCACHE_DAMAGED && payload->verification->verify->repair;
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
                .source_root = payload->source_root,
            };
    }
    if (result == 0 && count > 0)
        result = repair_all(verification->cache, repairs, count, verification->verify->cancel_fd,
                            verification->error);
    count = 0;
    for (size_t i = 0; i < verification->count; i++) {
        struct payload *payload = verification->payloads[i];
        if (!is_to_be_repaired(payload))
            continue;
        payload->reason = repairs[count].reason;
        if (repairs[count++].repaired)
            payload->verdict = PKGCACHE_REPAIRED;
        finish(payload);
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
    struct verification verification = {
        .cache = cache, .verify = &known, .summary = ret_summary, .error = &error};
    if (take_struct(&known, sizeof(known), verify) < 0)
        return error_set(ret_error, EINVAL,
                         "verify: its options are of a newer library, or no size");
    known.cancel_fd = cache_cancel_fd(known.cancel_fd);
    *ret_summary = (struct pkgcache_verify_summary){0};
    int result = cache_open_directories(cache, &error);
    if (result == 0) {
        result = open_verification(&verification);
        if (result == 0)
            result = collect(&verification);
        ret_summary->variants = verification.count;
        if (result == 0)
            result = scan_all(&verification);
        if (known.repair)
            result = repair_damaged(&verification, result);
        close_verification(&verification);
    }
    if (result < 0 && error.code == 0)
        error_set(&error, -result, "cannot verify %s: %s", cache->path,
                  result == -ECANCELED ? "interrupted" : strerror(-result));
    if (ret_error)
        *ret_error = error;
    return result;
}
