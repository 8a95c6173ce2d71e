/*
 * One file of a supply whose contents are in another file: its donor, which is cloned or copied; or
 * the source, when there is no donor, or it is not what the entry says. Contents go the same steps
 * as those of a copy (transfer_copy.c, transfer_data.c); mode, times and xattrs are the entry's.
 *
 * The system calls for a clone: openat2, openat (destination), FICLONE, statx (of the new file),
 * pread, utimensat, closes. The digest is taken from the new file, which nobody else writes to: so
 * it does not matter what becomes of the other one meanwhile, and nobody looks at that again.
 */
#include "engine/transfer_origin.h"

#include "engine/compiler.h"
#include "engine/manifest.h"
#include "engine/release.h"
#include "engine/source.h"
#include "engine/supply_tree.h"
#include "engine/transfer_copy.h"
#include "engine/transfer_supply.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { DIGEST_TEXT_BYTES = 2 * 16 + 1 };

/* O_NONBLOCK: the name may be that of a fifo. */
static const struct open_how below = {
    .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
};

/* A donor lies in a cache, where others may have mounted what never answers. */
static const struct open_how below_on_one_mount = {
    .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
};

static transfer_step step_open, step_opened, step_created, step_closed, step_finish;

static const struct copyengine_entry *entry_of(const struct transfer *transfer)
{
    return &transfer_job(transfer)->supply->entries[transfer->file->entry];
}

static const struct copyengine_origin *origin_of(const struct transfer *transfer)
{
    return &transfer_job(transfer)->supply->origins[transfer->file->entry];
}

/* --- What is not as it should be -------------------------------------------------------------- */

/* Has the source take the place of a donor. Returns false: the job has failed. */
static bool hand_on(struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    struct batch *batch =
        batch_new_of_entries(file->batch->directory, &file->name, &file->entry, 1);
    if (!batch) {
        job_fail(job, "copy", JOB_SOURCE, file->batch->directory, file->name, ENOMEM);
        return false;
    }
    file->handed_on = true;
    schedule_add_batches(job->common->schedule, job, batch);
    return true;
}

/*
 * Ends with a donor that cannot be taken. What was made of it goes before somebody else makes it.
 *
 * @param text what is wrong with it, for the job's owner; NULL: nothing that he need know
 */
static enum transfer_state dismiss(struct transfer_host *host, struct transfer *transfer,
                                   const char *text)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    const struct copyengine_origin *origin = origin_of(transfer);
    if (text) {
        char path[PATH_MAX];
        directory_path(origin->donor_root->shown, NULL, origin->donor, path, sizeof(path));
        job_warn_of(job, path, text);
    }
    cleanup_close_fd(&file->source_fd);
    file->source_fd = -1;
    if (file->destination_fd >= 0) {
        close(steal_fd(&file->destination_fd));
        int64_t result = io_do(&host->port, (struct io_op){
                                                .kind = IO_REMOVE,
                                                .fd = file->batch->directory->destination_fd,
                                                .name = file->name,
                                            });
        if (result < 0)
            job_fail(job, "remove", JOB_DESTINATION, file->batch->directory, file->name,
                     (int)-result);
    }
    if (!job_is_stopped(job) && origin->source)
        hand_on(transfer);
    return transfer_give_up(host, transfer);
}

static enum transfer_state fail(struct transfer_host *host, struct transfer *transfer,
                                const char *operation, int code, const char *why)
{
    job_fail_at(transfer_job(transfer), operation, origin_of(transfer)->source, code, why);
    return transfer_give_up(host, transfer);
}

/* The file is not what the entry says: ends with a donor, or with the job. */
static enum transfer_state refuse(struct transfer_host *host, struct transfer *transfer,
                                  const char *why)
{
    char text[256];
    if (!transfer->file->donated)
        return fail(host, transfer, "check", EBADMSG, why);
    snprintf(text, sizeof(text), "not reused: %s", why);
    return dismiss(host, transfer, text);
}

static enum transfer_state refuse_size(struct transfer_host *host, struct transfer *transfer,
                                       uint64_t found)
{
    char why[128];
    snprintf(why, sizeof(why), "it has %" PRIu64 " bytes; %" PRIu64 " were expected", found,
             entry_of(transfer)->size);
    return refuse(host, transfer, why);
}

static void print_digest(const unsigned char *digest, char *text)
{
    for (size_t i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static enum transfer_state refuse_digest(struct transfer_host *host, struct transfer *transfer)
{
    char found_text[DIGEST_TEXT_BYTES], expected_text[DIGEST_TEXT_BYTES], why[160];
    XXH128_canonical_t found;
    XXH128_canonicalFromHash(&found, transfer->file->digest);
    print_digest(found.digest, found_text);
    print_digest(entry_of(transfer)->digest, expected_text);
    snprintf(why, sizeof(why), "its contents have the digest %s; %s was expected", found_text,
             expected_text);
    return refuse(host, transfer, why);
}

/* Whether an error says that a donor is not there, or that there is a lack of something here: which
 * is no fault of its. */
static bool is_silent(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
    case ESTALE:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return true;
    default:
        return false;
    }
}

static enum transfer_state refuse_open(struct transfer_host *host, struct transfer *transfer,
                                       int code)
{
    char reason[128], text[192];
    if (!transfer->file->donated)
        return fail(host, transfer, "open", code,
                    code == ELOOP ? "it is a symbolic link, or below one; a file was expected"
                                  : strerror_r(code, reason, sizeof(reason)));
    snprintf(text, sizeof(text), "not reused: it cannot be opened: %s",
             code == ELOOP ? "it is a symbolic link, or below one"
                           : strerror_r(code, reason, sizeof(reason)));
    return dismiss(host, transfer, is_silent(code) ? NULL : text);
}

/* --- Steps ------------------------------------------------------------------------------------ */

static enum transfer_state step_open(struct transfer_host *host, struct transfer *transfer)
{
    const struct copyengine_origin *origin = origin_of(transfer);
    bool donated = transfer->file->donated;
    return transfer_open_source(
        host, transfer,
        (struct io_op){
            .fd = donated ? origin->donor_root->fd : transfer_job(transfer)->supply->source_fd,
            .name = donated ? origin->donor : origin->source,
            .how = donated ? &below_on_one_mount : &below,
        },
        step_opened);
}

static enum transfer_state step_opened(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (transfer->op.result == -EAGAIN && !file->donated && transfer_waits_for_lease(transfer)) {
        transfer->step = step_open;
        return TRANSFER_DELAYED;
    }
    if (transfer->op.result < 0)
        return refuse_open(host, transfer, (int)-transfer->op.result);
    assert(file->source_fd < 0 && file->destination_fd < 0);
    file->source_fd = (int)transfer->op.result;
    if (job_is_stopped(job)) /* while the server took its time: nothing is made any more */
        return transfer_give_up(host, transfer);
    transfer_supply_begin_file(host, transfer, entry_of(transfer));
    if (!supply_pin(&host->port, job, file->batch->directory->number))
        return transfer_give_up(host, transfer);
    file->pinned = true;
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_OPEN,
                              .latency = job->destination_latency,
                              .fd = file->batch->directory->destination_fd,
                              .name = file->name,
                              .flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                              .mode = file->attributes.mode | (file->has_xattrs ? S_IWUSR : 0),
                          },
                          step_created);
}

/* Takes in how large a file is, and where it is. Returns 0 or -errno. */
static int64_t take_status(const struct transfer_host *host, struct transfer *transfer, int fd,
                           struct statx *status)
{
    const struct copyengine_job *job = transfer_job(transfer);
    const struct supply *supply = job->supply;
    struct file *file = transfer->file;
    /* The attributes came with the open. */
    int64_t result = io_do(
        &host->port,
        (struct io_op){.kind = IO_STAT, .fd = fd, .flags = AT_STATX_DONT_SYNC, .data = status});
    if (result < 0)
        return result;
    file->blocks = status->stx_blocks;
    file->other_mount =
        source_mount(status) != (file->donated ? supply->donor_mount : job->source_mount);
    file->file_system = file->other_mount ? device_files(fd)
                        : file->donated   ? supply->donor_files
                                          : supply->source_files;
    file->file_system.sizes_may_lie = false; /* the entry says how large it is */
    return 0;
}

/* The blocks of the other file are this one's, too. */
static enum transfer_state take_clone(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    struct statx status;
    int64_t result = take_status(host, transfer, file->destination_fd, &status);
    if (result < 0)
        return transfer_fail(host, transfer, "stat", JOB_DESTINATION, -result);
    if (status.stx_size != file->size)
        return refuse_size(host, transfer, status.stx_size);
    file->cloned = true;
    file->holes = holes_learn(&host->port, file->destination_fd, file->file_system.stacked,
                              file->size, file->blocks);
    job_moved(transfer_job(transfer), holes_data_bytes(file->size, file->blocks));
    return transfer_read_again(transfer);
}

/* Shares the blocks of the other file. Returns 0; or -errno, if only because nobody need try. */
static int64_t clone_file(const struct transfer_host *host, const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    if (!transfer_may_try(transfer, &transfer_pair(transfer)->no_clone))
        return -ECANCELED;
    return io_do(
        &host->port,
        (struct io_op){.kind = IO_CLONE, .fd = file->source_fd, .other_fd = file->destination_fd});
}

static enum transfer_state step_created(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    struct statx status;
    if (transfer->op.result < 0)
        return transfer_fail(host, transfer, "create", JOB_DESTINATION, -transfer->op.result);
    file->destination_fd = (int)transfer->op.result;
    int64_t cloned = clone_file(host, transfer);
    if (cloned >= 0)
        return take_clone(host, transfer);
    int64_t result = take_status(host, transfer, file->source_fd, &status);
    if (result < 0)
        return transfer_fail(host, transfer, "stat", JOB_SOURCE, -result);
    if (!S_ISREG(status.stx_mode))
        return refuse(host, transfer, "it is no regular file");
    if (status.stx_size != file->size)
        return refuse_size(host, transfer, status.stx_size);
    if (device_pair_cannot((int)-cloned))
        transfer_learn_cannot(transfer, &transfer_pair(transfer)->no_clone);
    /* What the kernel copies would have to be read again. */
    atomic_store(&file->no_kernel, true);
    return transfer_copy_contents(host, transfer);
}

static enum transfer_state step_filled(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    const struct copyengine_entry *entry = entry_of(transfer);
    const char *failed = "";
    int64_t result = 0;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    if (atomic_load(&file->shorter))
        return refuse(host, transfer, "it cannot be read to its end");
    if (file->holes != HOLES_NONE && !file->cloned)
        result = io_do(
            &host->port,
            (struct io_op){.kind = IO_TRUNCATE, .fd = file->destination_fd, .offset = file->size});
    if (result < 0)
        return transfer_fail(host, transfer, "truncate", JOB_DESTINATION, -result);
    if (!file->has_digest && file->shared)
        return transfer_read_again(transfer);
    if (transfer_end_digest(transfer) < 0)
        return transfer_fail(host, transfer, "digest", JOB_DESTINATION, ENOMEM);
    if (!transfer_supply_is_expected(file, entry))
        return refuse_digest(host, transfer);
    const struct attr_target target = transfer_supply_target(host, transfer, entry);
    result = attr_set(&target, &file->attributes, file->has_xattrs,
                      file->made_otherwise || job->modes_need_setting, &failed);
    if (result < 0)
        return transfer_fail(host, transfer, failed, JOB_DESTINATION, -result);
    return transfer_close(host, transfer, &file->destination_fd, job->destination_latency,
                          step_closed);
}

void transfer_end_contents(struct transfer *transfer)
{
    transfer->step = step_filled;
}

static enum transfer_state step_closed(struct transfer_host *host, struct transfer *transfer)
{
    if (transfer->op.result < 0) /* a server may say only now that the disk is full */
        return transfer_fail(host, transfer, "close", JOB_DESTINATION, -transfer->op.result);
    return transfer_close(host, transfer, &transfer->file->source_fd,
                          transfer_source_latency(transfer), step_finish);
}

static enum transfer_state step_finish(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    const struct file *file = transfer->file;
    if (job->manifest)
        manifest_add_file(job->manifest, file);
    job_taken(job, file->entry,
              !file->donated ? COPYENGINE_TAKEN_FETCHED
              : file->cloned ? COPYENGINE_TAKEN_CLONED
                             : COPYENGINE_TAKEN_COPIED,
              holes_data_bytes(file->size, file->blocks));
    job_completed(job, &job->files_done);
    job->supply->items[file->entry].reused = true;
    transfer_supply_link(&host->port, transfer, file->entry);
    return transfer_give_up(host, transfer);
}

void transfer_begin_origin(struct transfer *transfer)
{
    transfer->step = step_open;
    transfer->copied = transfer_step_copied;
}

void transfer_end_origin(const struct io_port *port, struct file *file)
{
    const struct directory *directory = file->batch->directory;
    struct copyengine_job *job = directory->job;
    struct supply *supply = job->supply;
    if (file->pinned)
        supply_unpin(supply, directory->number);
    if (file->handed_on)
        return;
    if (supply->entries[file->entry].extent_count > 0) {
        supply_decide(job, file->entry);
        if (!supply->items[file->entry].reused)
            return; /* what its pieces are in goes on with it */
    }
    supply_release_entry(port, supply, file->entry);
}
