/*
 * One payload that is verified: scanned by the engine into a manifest of what is there, which is
 * then compared with the manifest of what shall be there.
 *
 * Nothing is locked, so a payload may be removed while it is read. What is found then is no damage:
 * before anything is said of a payload, its slot has to be found again, with the same directory in
 * it. As a removal takes the slot away first, all that was read before that look was the payload.
 */
#include "cache/store/lookup.h"
#include "cache/store/manifest_reader.h"
#include "cache/store/sidecar.h"
#include "cache/util/names.h"
#include "cache/verify/comparison.h"
#include "cache/verify/verification.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

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

void payload_free(struct payload *payload)
{
    if (!payload)
        return;
    cleanup_close_fd(&payload->fd);
    cleanup_close_fd(&payload->shall_fd);
    handle_free(payload->handle);
    free(payload->root);
    free(payload->source_root);
    free(payload->reason);
    free(payload);
}

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
        !handle_equal(sidecar.handle, payload->handle))
        return false;
    slot_view_read(hash_fd, payload->slot_name, sidecar.fd, &view);
    return view.status == PKGCACHE_FOUND &&
           slot_manifest_stat_payload(hash_fd, payload->slot_name, &now) == 0 &&
           now.inode == payload->identity.inode && now.born_ns == payload->identity.born_ns;
}

enum pkgcache_verdict payload_unknown(struct payload *payload, const char *what, const char *why)
{
    if (asprintf(&payload->reason, "%s: %s", what, why) < 0)
        payload->reason = NULL;
    return PKGCACHE_VERDICT_UNKNOWN;
}

static int on_progress(void *context, const struct copyengine_progress *progress)
{
    struct verification *verification = ((struct payload *)context)->verification;
    (void)progress;
    heartbeat_beat(&verification->heartbeat);
    eventfd_write(verification->event_fd, 1);
    return 0;
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
    int fd = slot_manifest_create(payload->verification->cache, staging->fd, payload->manifest_name,
                                  payload->handle, &payload->identity);
    if (fd < 0)
        return fd;
    payload->fd = fd;
    payload->offset = (uint64_t)lseek(fd, 0, SEEK_CUR);
    return 0;
}

static void open_shall(struct payload *payload)
{
    payload->shall_fd =
        slot_manifest_open(payload->verification->cache, payload->handle, payload->slot_name,
                           &payload->identity, &payload->shall_offset);
}

/* By the descriptor of its directory: whatever its path leads to by now, no link is followed. */
int payload_scan(struct payload *payload)
{
    const struct verification *verification = payload->verification;
    struct stat status;
    CLEANUP_CLOSE int hash_fd =
        cache_open_hash_directory(verification->cache, payload->handle, false);
    if (hash_fd < 0)
        return hash_fd;
    int result = slot_manifest_stat_payload(hash_fd, payload->slot_name, &payload->identity);
    if (result < 0)
        return result;
    if (names_stat(hash_fd, payload->slot_name, &status) < 0)
        return -errno;
    payload->foreign = status.st_uid != geteuid();
    result = open_manifest(payload);
    if (result < 0)
        return result;
    open_shall(payload);
    struct copyengine_scan scan = {
        .size = sizeof(scan),
        .relative = true,
        .one_mount = true,
        .dirfd = hash_fd,
        .path = payload->slot_name,
        .manifest_fd = payload->fd,
        .sample = verification->verify->sample,
        .seed = verification->seed,
        .on_progress = on_progress,
        .on_done = on_scanned,
        .context = payload,
        .manifest_version =
            payload->shall_fd < 0 ? 0 : manifest_version(payload->shall_fd, payload->shall_offset),
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
    if (comparison->denied > 0 && payload->foreign &&
        comparison->denied + comparison->missing == comparison->differences)
        return payload_unknown(payload, payload->root,
                               "it belongs to another user, and not all of it can be "
                               "read");
    return PKGCACHE_VERDICT_DAMAGED;
}

/* Digests a payload that nothing is known of. */
static enum pkgcache_verdict judge_undigested(struct payload *payload)
{
    struct comparison comparison;
    int result = compare(payload, payload->fd, payload->offset, &comparison);
    if (result < 0)
        return payload_unknown(payload, "its digests", error_text(-result));
    if (comparison.differences > 0)
        return judge_differences(payload, &comparison);
    result = keep(payload);
    return result < 0 ? payload_unknown(payload, "its digests cannot be kept", error_text(-result))
                      : PKGCACHE_VERDICT_DIGESTED;
}

static enum pkgcache_verdict judge(struct payload *payload)
{
    const struct verification *verification = payload->verification;
    struct comparison comparison;
    if (payload->shall_fd == -ENOENT) /* perhaps its copier has just put it there */
        open_shall(payload);
    int result = payload->shall_fd < 0
                     ? payload->shall_fd
                     : compare(payload, payload->shall_fd, payload->shall_offset, &comparison);
    if (result == -ENOENT || result == -EBADMSG)
        return judge_undigested(payload);
    if (result < 0)
        return payload_unknown(payload, "its manifest", error_text(-result));
    if (comparison.differences > 0)
        return judge_differences(payload, &comparison);
    bool all = verification->verify->sample <= 0 || verification->verify->sample >= 1;
    if (comparison.undigested > 0 && all)
        keep(payload); /* complete from now on; if not, the next time */
    return PKGCACHE_VERDICT_SOUND;
}

void payload_judge(struct payload *payload)
{
    struct pkgcache_verify_summary *summary = payload->verification->summary;
    const struct copyengine_result *result = copyengine_wait(payload->job);
    int code = result->error.code;
    char text[PATH_MAX + 256];
    if (code)
        copyengine_error_text(&result->error, text, sizeof(text));
    summary->files += result->progress->files;
    summary->bytes += result->progress->bytes;
    copyengine_job_free(payload->job);
    payload->job = NULL;
    if (!is_still_there(payload))
        payload->verdict = PKGCACHE_VERDICT_GONE;
    else if (code)
        payload->verdict = payload_unknown(payload, "it cannot be read", text);
    else
        payload->verdict = judge(payload);
    cleanup_close_fd(&payload->fd);
    cleanup_close_fd(&payload->shall_fd);
    payload->fd = payload->shall_fd = -1;
    if (payload->verification->staging.fd >= 0)
        unlinkat(payload->verification->staging.fd, payload->manifest_name, 0);
}
