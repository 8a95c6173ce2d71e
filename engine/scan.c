/*
 * Scans: trees that are read and not copied. A scan finds out what is there, so what cannot be read
 * is a finding, and goes into the manifest. Files are in transfer_scan.c.
 */
#include "engine/scan.h"

#include "engine/compiler.h"
#include "engine/finding.h"
#include "engine/finish.h"
#include "engine/manifest.h"
#include "engine/scan_note.h"
#include "engine/schedule.h"
#include "engine/source.h"
#include "engine/symlink.h"
#include "engine/transfer_scan.h"

#include <fcntl.h>
#include <limits.h>

/* Learns what the file system of the root is like. Returns false: the job has failed. */
static bool learn_root(struct directory *root)
{
    struct copyengine_job *job = root->job;
    /* A pair of its own: how direct reads go says nothing about copies. */
    job->pair = devices_enter(&job->common->devices, root->device, 0);
    if (!job->pair) {
        job_fail(job, "open", JOB_SOURCE, root, NULL, ENOMEM);
        return false;
    }
    job->source_mount = root->mount;
    job->source_latency = device_latency(device_kind(root->source_fd));
    job->workers_max = UINT_MAX;
    return true;
}

static bool scan_open(const struct io_port *port, struct directory *directory)
{
    const struct directory *parent = directory->parent;
    const struct copyengine_job *job = directory->job;
    int64_t fd = source_open_directory(port, parent ? parent->source_fd : job->source_dirfd,
                                       parent ? directory->name : job->copy.source, O_NOFOLLOW,
                                       job->one_mount);
    directory->source_fd = (int)fd;
    if (fd < 0)
        return scan_note_failure(directory, NULL, 'd', "open", (int)-fd);
    return source_stat_directory(port, directory) && (parent || learn_root(directory));
}

static bool note_symlink(const struct io_port *port, struct directory *directory, const char *name)
{
    struct copyengine_job *job = directory->job;
    char target[SYMLINK_TARGET_MAX];
    struct statx status;
    int64_t result = symlink_read(port, directory, name, target, &status);
    if (result < 0)
        return scan_note_failure(directory, name, 'l', "readlink", (int)-result);
    manifest_add_symlink(
        job->manifest, directory, name, target,
        (struct timespec){.tv_sec = status.stx_mtime.tv_sec, .tv_nsec = status.stx_mtime.tv_nsec});
    job_completed(job, &job->symlinks_done);
    return true;
}

static bool scan_entry(struct finding *finding, struct directory *directory,
                       const struct dirent64 *entry)
{
    const char *name = entry->d_name;
    int type = finding_ask_type(finding, directory, entry);
    switch (type) {
    case DT_REG:
        return finding_add_file(finding, directory, name);
    case DT_DIR:
        return finding_add_directory(finding, directory, name);
    case DT_LNK:
        return note_symlink(finding->port, directory, name);
    default:
        return scan_note_failure(directory, name, 'o', "stat", type < 0 ? -type : 0);
    }
}

static void scan_unreadable(struct directory *directory, int code)
{
    struct copyengine_job *job = directory->job;
    if (scan_error_is_ours(code)) {
        job_fail(job, "read", JOB_SOURCE, directory, NULL, code);
        return;
    }
    manifest_add_other(job->manifest, directory, NULL, 'd', code);
    directory->unreadable = true;
}

static void scan_complete(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    (void)port;
    if (directory->source_fd < 0 || directory->unreadable)
        return; /* that is noted */
    manifest_add_directory(job->manifest, directory);
    job_completed(job, &job->directories_done);
}

static void scan_finish(struct copyengine_job *job)
{
    finish_manifest(job, JOB_SOURCE);
    bool settled = finish_settle(job); /* false: the job was abandoned, and is reported */
    finish_leave(job, settled);
}

static const struct job_kind scan_kind = {
    .verb = "scan",
    .side = JOB_SOURCE,
    .open = scan_open,
    .entry = scan_entry,
    .unreadable = scan_unreadable,
    .begin = transfer_begin_scan,
    .complete = scan_complete,
    .finish = scan_finish,
};

/* Which hashes, of 2^64, belong to the share of files that is read. */
static uint64_t sample_below(double share)
{
    return share > 0 && share < 1 ? (uint64_t)(share * 0x1p64) : UINT64_MAX;
}

int scan_submit(struct engine_common *common, const struct copyengine_scan *scan,
                struct copyengine_job **ret)
{
    struct copyengine_scan known;
    if (take_struct(&known, sizeof(known), scan) < 0 || !known.path || !*known.path ||
        known.sample < 0 || known.sample > 1 || known.manifest_version > MANIFEST_VERSION)
        return -EINVAL;
    struct copyengine_job *job;
    int result = job_new(common, &scan_kind,
                         &(struct copyengine_copy){
                             .source = known.path,
                             .destination = "",
                             .destination_dirfd = AT_FDCWD,
                             .on_progress = known.on_progress,
                             .progress_interval_ms = known.progress_interval_ms,
                             .on_done = known.on_done,
                             .context = known.context,
                             .priority = known.priority,
                             .set_id = true, /* all bits that there are */
                             .manifest = true,
                             .manifest_fd = known.manifest_fd,
                         },
                         &job);
    if (result < 0)
        return result;
    if (known.manifest_version == 1) {
        job->digest_kind = DIGEST_PLAIN;
        manifest_begin(job->manifest, 1);
    }
    job->one_mount = known.one_mount;
    if (known.relative) {
        job->source_dirfd = fcntl(known.dirfd, F_DUPFD_CLOEXEC, 0);
        if (job->source_dirfd < 0) {
            result = -errno;
            job_release(job);
            return result;
        }
    }
    job->sample_below = sample_below(known.sample);
    job->sample_seed = known.seed;
    return schedule_submit(common->schedule, job, ret);
}
