/*
 * One file of a scan: open, stat, read to the end, note, close. What the disk has is of interest,
 * not what memory has, so reads go past the page cache (O_DIRECT) where the file system lets them;
 * so do they leave in memory what others use, and bring in nothing that nobody wants. One file is
 * read by one transfer, in order, as its digest needs it.
 */
#include "engine/transfer_scan.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/manifest.h"
#include "engine/scan_note.h"
#include "engine/source.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What every disk accepts as the unit of a direct read. */
enum { DIRECT_UNIT_BYTES = 4096 };

static transfer_step step_open, step_opened, step_begin, step_find, step_read, step_have_read,
    step_note;

/* Whether the contents of a file belong to the sample. */
static bool is_wanted(const struct copyengine_job *job, const struct file *file)
{
    if (job->sample_below == UINT64_MAX)
        return true;
    uint64_t seed = job->sample_seed ^ file->batch->directory->inode;
    return XXH3_64bits_withSeed(file->name, strlen(file->name), seed) < job->sample_below;
}

/* Ends with a file that could not be read. */
static enum transfer_state note_failure(struct transfer_host *host, struct transfer *transfer,
                                        const char *operation, int64_t code)
{
    struct file *file = transfer->file;
    if (!job_is_stopped(transfer_job(transfer)))
        scan_note_failure(file->batch->directory, file->name, 'f', operation, (int)code);
    return transfer_give_up(host, transfer);
}

/* Takes the attributes; and learns whether the file had to be opened again without O_DIRECT. */
static void take_status(struct transfer *transfer, const struct statx *status)
{
    const struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    file->size = file->stated = status->stx_size;
    file->blocks = status->stx_blocks;
    file->file_system = file->batch->directory->files;
    file->other_mount = source_mount(status) != job->source_mount;
    if (file->source_fd >= 0 && !file->direct)
        transfer_learn_cannot(transfer, &job->pair->no_direct);
    file->attributes.mode = status->stx_mode & ~(mode_t)S_IFMT;
    file->attributes.mtime =
        (struct timespec){.tv_sec = status->stx_mtime.tv_sec, .tv_nsec = status->stx_mtime.tv_nsec};
}

/* Asks for the attributes of the file; by its name where it is not open. */
static enum transfer_state stat_file(struct transfer_host *host, struct transfer *transfer,
                                     transfer_step *next)
{
    struct file *file = transfer->file;
    struct statx status;
    bool opened = file->source_fd >= 0;
    int64_t result =
        io_do(&host->port,
              (struct io_op){.kind = IO_STAT,
                             .fd = opened ? file->source_fd : file->batch->directory->source_fd,
                             .name = opened ? NULL : file->name,
                             .one_mount = transfer_job(transfer)->one_mount,
                             .flags = opened ? 0 : AT_SYMLINK_NOFOLLOW,
                             .data = &status});
    if (result < 0)
        return note_failure(host, transfer, "stat", -result);
    take_status(transfer, &status);
    if (S_ISREG(status.stx_mode))
        return transfer_go_on(transfer, next);
    scan_note_failure(file->batch->directory, file->name, 'o', "stat", 0);
    return transfer_give_up(host, transfer);
}

static enum transfer_state step_open(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (!is_wanted(job, file))
        return stat_file(host, transfer, step_note);
    return transfer_start(
        host, transfer,
        (struct io_op){
            .kind = IO_OPEN,
            .latency = job_source_latency(job),
            .fd = file->batch->directory->source_fd,
            .name = file->name,
            .one_mount = job->one_mount,
            /* O_NONBLOCK: the name may have become a fifo since it was read */
            .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (file->direct ? O_DIRECT : 0),
        },
        step_opened);
}

/* Begins again, through the page cache; so do all files of this file system from now on. */
static enum transfer_state without_direct(struct transfer *transfer)
{
    struct file *file = transfer->file;
    file->direct = false;
    cleanup_close_fd(&file->source_fd);
    file->source_fd = -1;
    transfer->offset = 0;
    return transfer_go_on(transfer, step_open);
}

static enum transfer_state step_opened(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    if (transfer->op.result == -EINVAL && file->direct)
        return without_direct(transfer);
    if (transfer->op.result == -EAGAIN && transfer_waits_for_lease(transfer)) {
        transfer->step = step_open;
        return TRANSFER_DELAYED;
    }
    if (transfer->op.result < 0)
        return note_failure(host, transfer, "open", -transfer->op.result);
    assert(file->source_fd < 0);
    file->source_fd = (int)transfer->op.result;
    return stat_file(host, transfer, step_begin);
}

static enum transfer_state step_begin(struct transfer_host *host, struct transfer *transfer)
{
    const struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    digest_begin(&transfer->digest, job->digest_kind);
    if (job->digest_kind != DIGEST_PLAIN) /* else there is no way around its zeros */
        file->holes = holes_learn(&host->port, file->source_fd, file->file_system.stacked,
                                  file->size, file->blocks);
    transfer->extent_end = 0;
    return transfer_go_on(transfer, step_find);
}

/* What a read waits for. Direct ones always wait for the disk; trying at once would, too. */
static enum io_latency read_latency(const struct copyengine_job *job, const struct file *file)
{
    return file->direct ? IO_REMOTE : job_source_latency(job);
}

/* Looks for data; at the end of a file, and where sizes may lie behind it, for none. */
static enum transfer_state step_find(struct transfer_host *host, struct transfer *transfer)
{
    const struct file *file = transfer->file;
    if (transfer->offset >= transfer->extent_end && transfer->offset < file->size)
        transfer_find_blocks(host, transfer, file->source_fd);
    if (transfer->offset < file->size || (file->file_system.sizes_may_lie && !file->ended))
        return transfer_go_on(transfer, step_read);
    return transfer_end_digest(transfer) < 0
               ? transfer_fail(host, transfer, "digest", JOB_SOURCE, ENOMEM)
               : transfer_go_on(transfer, step_note);
}

static enum transfer_state step_read(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    const struct file *file = transfer->file;
    bool behind = transfer->offset >= file->size;
    uint64_t bytes = host->buffers->buffer_bytes;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    if (!behind)
        bytes = MIN(transfer->extent_end - transfer->offset, bytes);
    if ((!behind || file->size > file->stated) && !transfer_may_move(transfer, &bytes))
        return TRANSFER_DELAYED; /* most have nothing behind it, which is not to be paid for */
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    if (file->direct) /* also at the end of the file, where it is shorter */
        bytes += -bytes % DIRECT_UNIT_BYTES;
    transfer->began_ns = clock_monotonic_ns();
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_READ,
                              .latency = read_latency(job, file),
                              .fd = file->source_fd,
                              .data = transfer_buffer(host, transfer),
                              .length = bytes,
                              .offset = transfer->offset,
                              .buffer_index = transfer->buffer_index,
                          },
                          step_have_read);
}

static enum transfer_state step_have_read(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    int64_t length = transfer->op.result;
    if (length == -EINVAL && file->direct) {
        transfer_release_buffer(host, transfer);
        return without_direct(transfer);
    }
    if (length == 0 && transfer->offset >= file->size) {
        transfer_release_buffer(host, transfer);
        file->ended = true;
        return transfer_go_on(transfer, step_find);
    }
    if (length <= 0) /* 0: it is shorter than it was a moment ago */
        return note_failure(host, transfer, "read", length < 0 ? -length : ESTALE);
    assert((size_t)length <= transfer->op.length);
    transfer_learn_heat(job->pair, transfer->began_ns, length);
    uint64_t read_to = transfer->offset + (uint64_t)length;
    if (file->file_system.sizes_may_lie && read_to > file->size)
        file->size = transfer->extent_end = read_to;
    uint64_t bytes = MIN(read_to, transfer->extent_end) - transfer->offset;
    int result = transfer_digest(transfer, transfer->op.data, bytes);
    transfer_release_buffer(host, transfer);
    if (result < 0)
        return transfer_fail(host, transfer, "digest", JOB_SOURCE, -result);
    transfer_moved(transfer, bytes);
    return transfer_go_on(transfer, step_find);
}

static enum transfer_state step_note(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    if (!job_is_stopped(job)) {
        manifest_add_file(job->manifest, transfer->file);
        job_completed(job, &job->files_done);
    }
    return transfer_give_up(host, transfer);
}

void transfer_begin_scan(struct transfer *transfer)
{
    const struct device_pair *pair = transfer_job(transfer)->pair;
    transfer->file->direct = !atomic_load_explicit(&pair->no_direct, memory_order_relaxed);
    transfer->step = step_open;
}
