/*
 * One file of a copy: open both ends, copy what is in it (transfer_data.c), set its attributes,
 * close.
 *
 * The system calls for a small file that is cached, and why each: statx (size, mode, times),
 * flistxattr (are there any), openat (destination, with its final mode), sendfile or preadv2 and
 * pwrite, statx (did the source change meanwhile), utimensat. The open of the source and both
 * closes are calls of their own without a ring, and for the first files.
 */
#include "engine/transfer_copy.h"

#include "engine/attr.h"
#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/manifest.h"
#include "engine/source.h"
#include "engine/transfer_data.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    SHARED_BYTES_MIN = 16 << 20, /* files from here on are copied in ranges */
    RANGE_BYTES = 8 << 20,
    REMOTE_SHARED_BYTES_MIN = 2 << 20, /* where every read takes its time, more at once pay */
    REMOTE_RANGE_STEP = 1 << 20,       /* the least, and a multiple of it */
    REMOTE_RANGES = 32,        /* at once are enough, since the kernel reads ahead in each */
    ASK_BYTES_MIN = 128 << 10, /* more than servers send in one answer */
    ASK_AFTER_NS = 20000000,
    SLOW_INLINE_NS = 2000000,
    SLOW_INLINES = 4,   /* in a row: a thread that was not running looks slow, too */
    QUICK_INLINES = 64, /* that kept their promise: the next ones will, and go together */
    TRIED_OF_MANY = 64, /* one of so many is tried all the same */
};

static transfer_step step_opened_source, step_opened_destination, step_complete, step_close_source,
    step_finish;
static transfer_step open_destination;

/*
 * Learns whether what is tried at once because it should not block does block after all: the
 * promise of RESOLVE_CACHED ends at the dentry cache, and some file systems ask a server then.
 */
static void learn_inline(struct device_pair *pair, uint64_t began_ns)
{
    bool slow = clock_monotonic_ns() - began_ns >= SLOW_INLINE_NS;
    unsigned in_a_row = atomic_load_explicit(&pair->slow_inline, memory_order_relaxed);
    if (slow &&
        atomic_fetch_add_explicit(&pair->slow_inline, 1, memory_order_relaxed) + 1 >= SLOW_INLINES)
        atomic_store_explicit(&pair->no_inline, true, memory_order_relaxed);
    else if (!slow && in_a_row > 0) /* read before it is written: all processors share it */
        atomic_store_explicit(&pair->slow_inline, 0, memory_order_relaxed);
    if (!slow)
        atomic_fetch_add_explicit(&pair->quick_inline, 1, memory_order_relaxed);
}

/*
 * Whether opens and closes are handed over many at a time: a system call for each costs more than
 * what it does. Not before some opens were tried: what blocks in spite of its promise would hold up
 * all others; and for a few files a ring does not pay.
 */
static bool opens_together(const struct device_pair *pair)
{
    return atomic_load_explicit(&pair->quick_inline, memory_order_relaxed) >= QUICK_INLINES;
}

enum transfer_state transfer_close(struct transfer_host *host, struct transfer *transfer, int *fd,
                                   enum io_latency latency, transfer_step *next)
{
    const struct device_pair *pair = transfer_pair(transfer);
    assert(*fd >= 0);
    bool flushes = atomic_load_explicit(&pair->flushes, memory_order_relaxed);
    return transfer_start(host, transfer,
                          (struct io_op){.kind = IO_CLOSE,
                                         .latency = latency,
                                         .one_of_many = opens_together(pair) && !flushes,
                                         .fd = steal_fd(fd)},
                          next);
}

enum transfer_state transfer_open_source(struct transfer_host *host, struct transfer *transfer,
                                         struct io_op op, transfer_step *next)
{
    struct device_pair *pair = transfer_pair(transfer);
    enum io_latency latency = transfer_source_latency(transfer);
    /* One now and then is tried all the same: names may have been cached since, and opens block. */
    bool together = opens_together(pair) && ++host->opens % TRIED_OF_MANY != 0;
    bool tries = !together && latency == IO_CACHED && host->port.backend->queues;
    uint64_t began_ns = tries ? clock_monotonic_ns() : 0;
    op.kind = IO_OPEN;
    op.latency = latency;
    op.one_of_many = together;
    enum transfer_state state = transfer_start(host, transfer, op, next);
    if (tries)
        learn_inline(pair, began_ns);
    return state;
}

static enum transfer_state step_open(struct transfer_host *host, struct transfer *transfer)
{
    int follow = job_follows_links(transfer_job(transfer)) ? 0 : O_NOFOLLOW;
    return transfer_open_source(
        host, transfer,
        (struct io_op){
            .fd = transfer->file->batch->directory->source_fd,
            .name = transfer->file->name,
            /* O_NONBLOCK: the name may have become a fifo since it was read */
            .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow,
        },
        step_opened_source);
}

/*
 * Fills in what the copy shall look like.
 *
 * @param sync AT_STATX_DONT_SYNC: what came with the open will do; AT_STATX_FORCE_SYNC: a server is
 *             asked, whatever the kernel remembers
 */
static int64_t stat_source(const struct transfer_host *host, const struct file *file, int sync,
                           struct statx *ret)
{
    return io_do(
        &host->port,
        (struct io_op){.kind = IO_STAT, .fd = file->source_fd, .flags = sync, .data = ret});
}

/* Whether a file is on a server, by what its file system is. */
static bool is_remote(const struct transfer *transfer)
{
    const struct copyengine_job *job = transfer_job(transfer);
    return (transfer->file->donated ? job->destination_latency : job->source_latency) == IO_REMOTE;
}

/*
 * How to learn whether a file changed during its copy. What the kernel remembers of a file on a
 * server proves nothing, but asking takes as long as a small file does: that is for a file that
 * came in several answers, for one that took its time, and for one that changed already.
 */
static int sync_at_end(const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    bool asks =
        is_remote(transfer) && (file->shared || file->retried || file->size > ASK_BYTES_MIN ||
                                clock_monotonic_ns() - file->stated_ns >= ASK_AFTER_NS);
    return asks ? AT_STATX_FORCE_SYNC : AT_STATX_DONT_SYNC;
}

static struct timespec to_timespec(struct statx_timestamp time)
{
    return (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

/* What the file system is like that a file is on: another one where only the file is mounted. */
static struct device_files file_system_of(const struct file *file, const struct statx *source)
{
    const struct directory *directory = file->batch->directory;
    dev_t device = makedev(source->stx_dev_major, source->stx_dev_minor);
    return device == directory->device || directory->files.stacked ? directory->files
                                                                   : device_files(file->source_fd);
}

static void take_attributes(const struct copyengine_job *job, struct file *file,
                            const struct statx *source)
{
    file->size = file->stated = source->stx_size;
    file->blocks = source->stx_blocks;
    file->file_system = file_system_of(file, source);
    file->attributes = (struct attributes){
        .mode = attr_permissions(job, source->stx_mode),
        .user = source->stx_uid,
        .group = source->stx_gid,
        .mtime = to_timespec(source->stx_mtime),
    };
    file->ctime = to_timespec(source->stx_ctime);
    file->other_mount = source_mount(source) != job->source_mount;
}

static struct attr_target target_of(const struct transfer_host *host, const struct file *file)
{
    return (struct attr_target){
        .port = &host->port,
        .directory = file->batch->directory,
        .name = file->name,
        .source_fd = file->source_fd,
        .destination_fd = file->destination_fd,
    };
}

/* Learns whether there are xattrs to copy. Returns 0 or -errno. */
static int learn_xattrs(const struct transfer_host *host, struct transfer *transfer)
{
    struct attr_target target = target_of(host, transfer->file);
    int result = attr_has_xattrs(&target);
    transfer->file->has_xattrs = result > 0;
    return MIN(result, 0);
}

static enum transfer_state list_xattrs(struct transfer_host *host, struct transfer *transfer)
{
    int result = learn_xattrs(host, transfer);
    if (result < 0)
        return transfer_fail(host, transfer, "listxattr", JOB_SOURCE, -result);
    return open_destination(host, transfer);
}

static enum transfer_state open_destination(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    mode_t mode = file->attributes.mode | (file->has_xattrs ? S_IWUSR : 0);
    file->made_otherwise = mode != file->attributes.mode;
    return transfer_start(host, transfer,
                          (struct io_op){
                              .kind = IO_OPEN,
                              .latency = job->destination_latency,
                              .fd = file->batch->directory->destination_fd,
                              .name = file->name,
                              .flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                              .mode = mode,
                          },
                          step_opened_destination);
}

/* Ends with a name of a file that was copied by another name. */
static enum transfer_state finish_linked(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    struct attr_target target = target_of(host, file);
    int result = attr_note_linked(&target, &file->attributes);
    if (result < 0)
        return transfer_fail(host, transfer, "stat", JOB_DESTINATION, -result);
    return transfer_go_on(transfer, step_finish);
}

/* Goes on with a file that has several names. */
static enum transfer_state link_or_copy(struct transfer_host *host, struct transfer *transfer,
                                        const struct statx *source)
{
    struct copyengine_job *job = transfer_job(transfer);
    int code = 0;
    switch (hard_link_enter(&job->hard_links, &host->port, job->root_fd, source, transfer->file,
                            &code)) {
    case HARD_LINK_COPY:
        return list_xattrs(host, transfer);
    case HARD_LINK_MADE:
        return finish_linked(host, transfer);
    case HARD_LINK_FAILED:
        return transfer_fail(host, transfer, "link", code == ENOMEM ? JOB_SOURCE : JOB_DESTINATION,
                             code);
    case HARD_LINK_WAITS: /* and is in a batch again as soon as it can be linked */
        break;
    }
    return transfer_give_up(host, transfer);
}

static enum transfer_state step_opened_source(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (transfer->op.result == -EAGAIN && transfer_waits_for_lease(transfer)) {
        transfer->step = step_open;
        return TRANSFER_DELAYED;
    }
    if (transfer->op.result < 0)
        return transfer_fail(host, transfer, "open", JOB_SOURCE, -transfer->op.result);
    assert(file->source_fd < 0 && file->destination_fd < 0);
    file->source_fd = (int)transfer->op.result;
    if (job_is_stopped(job)) /* while the server took its time: nothing is made any more */
        return transfer_give_up(host, transfer);
    struct statx source;
    int64_t result = stat_source(host, file, AT_STATX_DONT_SYNC, &source);
    if (result < 0)
        return transfer_fail(host, transfer, "stat", JOB_SOURCE, -result);
    if (is_remote(transfer))
        file->stated_ns = clock_monotonic_ns();
    if (!S_ISREG(source.stx_mode)) {
        job_warn(job, file->batch->directory, file->name, "is no longer a regular file");
        job_completed(job, &job->skipped);
        return transfer_give_up(host, transfer);
    }
    take_attributes(job, file, &source);
    if (source.stx_nlink < 2 || job_follows_links(job))
        return list_xattrs(host, transfer);
    return link_or_copy(host, transfer, &source);
}

/* How long the ranges are that a large file is copied in. */
static uint64_t range_bytes(const struct file *file, bool remote)
{
    if (!remote)
        return RANGE_BYTES;
    uint64_t steps = file->size / REMOTE_RANGES / REMOTE_RANGE_STEP + 1;
    return MIN(steps * REMOTE_RANGE_STEP, (uint64_t)RANGE_BYTES);
}

/*
 * Asks for all the room that a large file needs. Ranges are then written into extents that are in
 * order (ext4: a fifth faster), and a disk that is too small says so at once. Not on Btrfs, which
 * writes what was preallocated a second time elsewhere.
 */
static int64_t allocate_room(struct transfer_host *host, struct copyengine_job *job,
                             const struct file *file)
{
    atomic_bool *unsupported = &job->pair->no_allocate;
    if (file->holes != HOLES_NONE || atomic_load_explicit(unsupported, memory_order_relaxed))
        return 0;
    int64_t result = io_do(
        &host->port,
        (struct io_op){.kind = IO_ALLOCATE, .fd = file->destination_fd, .length = file->size});
    if (result == 0 || !device_pair_cannot((int)-result))
        return result;
    atomic_store_explicit(unsupported, true, memory_order_relaxed);
    return 0;
}

/* Lets others copy ranges of a large file, too. */
static enum transfer_state share_file(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    int64_t result = allocate_room(host, job, file);
    if (result < 0)
        return transfer_fail(host, transfer, "allocate", JOB_DESTINATION, -result);
    if (!file->shared) {
        file = malloc(sizeof(*file));
        if (!file)
            return transfer_fail(host, transfer, "copy", JOB_SOURCE, ENOMEM);
        *file = transfer->own;
        file->shared = true;
    }
    assert(transfer->buffer_index < 0 && file->size > 0);
    file->range_bytes = range_bytes(file, is_remote(transfer));
    file->untaken = 0;
    atomic_store(&file->references, 1);
    schedule_add_file(job->common->schedule, job, file);
    return TRANSFER_DONE;
}

enum transfer_state transfer_copy_contents(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    file->holes = holes_learn(&host->port, file->source_fd, file->file_system.stacked, file->size,
                              file->blocks);
    if (file->size >= (uint64_t)(is_remote(transfer) ? REMOTE_SHARED_BYTES_MIN : SHARED_BYTES_MIN))
        return share_file(host, transfer);
    digest_begin(&transfer->digest, job->digest_kind);
    transfer->offset = 0;
    transfer->end = file->size;
    return transfer_go_on(transfer, file->size ? transfer_step_next_extent : transfer->copied);
}

/* Shares the blocks of the source; false: it cannot be done here. */
static bool clone_file(struct transfer_host *host, const struct transfer *transfer)
{
    const struct file *file = transfer->file;
    atomic_bool *cannot = &transfer_job(transfer)->pair->no_clone;
    if (!transfer_may_try(transfer, cannot))
        return false;
    int64_t result = io_do(
        &host->port,
        (struct io_op){.kind = IO_CLONE, .fd = file->source_fd, .other_fd = file->destination_fd});
    if (result < 0 && device_pair_cannot((int)-result))
        transfer_learn_cannot(transfer, cannot);
    return result >= 0; /* if the disk is full, the copy will find out */
}

static enum transfer_state step_opened_destination(struct transfer_host *host,
                                                   struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (transfer->op.result < 0)
        return transfer_fail(host, transfer, "create", JOB_DESTINATION, -transfer->op.result);
    assert(file->destination_fd < 0);
    file->destination_fd = (int)transfer->op.result;
    if (!file->has_xattrs && attr_keeps(job, &file->attributes))
        transfer_allow_links(transfer); /* else when it has what its other names note */
    if (file->size > 0 && clone_file(host, transfer)) {
        atomic_store(&file->in_kernel, true);
        job_moved(job, holes_data_bytes(file->size, file->blocks));
        return transfer_go_on(transfer, step_complete);
    }
    return transfer_copy_contents(host, transfer);
}

enum transfer_state transfer_step_copied(struct transfer_host *host, struct transfer *transfer)
{
    struct file *file = transfer->file;
    (void)host;
    if (!transfer_release_range(transfer))
        return TRANSFER_DONE; /* the last one completes the file */
    if (file->shared)
        atomic_store(&file->references, 1);
    const struct job_kind *kind = transfer_job(transfer)->kind;
    transfer->step = step_complete;
    if (kind->copied)
        kind->copied(transfer);
    return TRANSFER_ADVANCE;
}

static bool is_same_time(struct timespec a, struct statx_timestamp b)
{
    return a.tv_sec == b.tv_sec && (uint32_t)a.tv_nsec == b.tv_nsec;
}

/* Whether the source is as it was when its copy began, by its size and times. */
static bool is_unchanged(const struct file *file, const struct statx *source)
{
    return source->stx_size == file->stated &&
           is_same_time(file->attributes.mtime, source->stx_mtime) &&
           is_same_time(file->ctime, source->stx_ctime);
}

/* Copies a file again that has changed, or was shorter than its size. */
static enum transfer_state retry_changed(struct transfer_host *host, struct transfer *transfer,
                                         const struct statx *source)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    if (file->retried) {
        job_fail_because(job, "read", JOB_SOURCE, file->batch->directory, file->name, ESTALE,
                         is_unchanged(file, source)
                             ? "the file ends before the size that its file system states"
                             : "the file changed during the copy, and again during the second "
                               "attempt");
        return transfer_give_up(host, transfer);
    }
    file->retried = true;
    file->has_digest = file->ended = false;
    file->made_otherwise = true; /* its mode may have changed as well */
    atomic_store(&file->in_kernel, false);
    atomic_store(&file->shorter, false);
    take_attributes(job, file, source);
    if (is_remote(transfer)) /* else the kernel may have old contents of a server's file */
        (void)posix_fadvise(file->source_fd, 0, 0, POSIX_FADV_DONTNEED);
    int64_t result = learn_xattrs(host, transfer);
    if (result < 0)
        return transfer_fail(host, transfer, "listxattr", JOB_SOURCE, -result);
    if (file->has_xattrs) /* which are set where the owner may write */
        result = io_do(&host->port, (struct io_op){.kind = IO_SET_MODE,
                                                   .fd = file->destination_fd,
                                                   .mode = file->attributes.mode | S_IWUSR});
    if (result < 0)
        return transfer_fail(host, transfer, "chmod", JOB_DESTINATION, -result);
    result = io_do(&host->port, (struct io_op){.kind = IO_TRUNCATE, .fd = file->destination_fd});
    if (result < 0)
        return transfer_fail(host, transfer, "truncate", JOB_DESTINATION, -result);
    return transfer_copy_contents(host, transfer);
}

enum transfer_state transfer_read_again(struct transfer *transfer)
{
    digest_begin(&transfer->digest, transfer_job(transfer)->digest_kind);
    transfer->offset = transfer->extent_end = 0;
    return transfer_go_on(transfer, transfer_step_digest);
}

/* All bytes are there. Was it one file that was read, or two versions of it mixed? */
static enum transfer_state step_complete(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    struct statx source;
    if (job_is_stopped(job))
        return transfer_give_up(host, transfer);
    bool shorter = atomic_load(&file->shorter);
    if (file->file_system.sizes_may_lie && !file->ended && !shorter)
        return transfer_go_on(transfer, transfer_step_read_on);
    int64_t result = stat_source(host, file, sync_at_end(transfer), &source);
    if (result < 0)
        return transfer_fail(host, transfer, "stat", JOB_SOURCE, -result);
    if (shorter || !is_unchanged(file, &source))
        return retry_changed(host, transfer, &source);
    if (file->holes != HOLES_NONE) {
        result = io_do(
            &host->port,
            (struct io_op){.kind = IO_TRUNCATE, .fd = file->destination_fd, .offset = file->size});
        if (result < 0)
            return transfer_fail(host, transfer, "truncate", JOB_DESTINATION, -result);
    }
    if (job->copy.digest && !file->has_digest && !atomic_load(&file->in_kernel)) {
        if (file->shared)
            return transfer_read_again(transfer);
        if (transfer_end_digest(transfer) < 0)
            return transfer_fail(host, transfer, "digest", JOB_SOURCE, ENOMEM);
    }
    const char *failed = "";
    struct attr_target target = target_of(host, file);
    result = attr_set(&target, &file->attributes, file->has_xattrs,
                      file->made_otherwise || job->modes_need_setting, &failed);
    if (result < 0)
        return transfer_fail(host, transfer, failed, JOB_DESTINATION, -result);
    return transfer_close(host, transfer, &file->destination_fd, job->destination_latency,
                          step_close_source);
}

static enum transfer_state step_close_source(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    if (transfer->op.result < 0) /* a server may say only now that the disk is full */
        return transfer_fail(host, transfer, "close", JOB_DESTINATION, -transfer->op.result);
    return transfer_close(host, transfer, &transfer->file->source_fd, job_source_latency(job),
                          step_finish);
}

static enum transfer_state step_finish(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = transfer_job(transfer);
    if (job->manifest)
        manifest_add_file(job->manifest, transfer->file);
    job_completed(job, &job->files_done);
    return transfer_give_up(host, transfer);
}

void transfer_begin_copy(struct transfer *transfer)
{
    transfer->step = step_open;
    transfer->copied = transfer_step_copied;
}

void transfer_begin_range(struct transfer *transfer, struct file *file, uint64_t offset,
                          uint64_t end)
{
    assert(file->shared && offset < end && end <= file->size);
    *transfer = (struct transfer){
        .file = file,
        .delay = {.job = file->batch->directory->job},
        .step = transfer_step_next_extent,
        .copied = transfer_step_copied,
        .buffer_index = -1,
        .offset = offset,
        .end = end,
        .digest.state = transfer->digest.state,
    };
}
