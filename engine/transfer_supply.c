/*
 * One unit of a supply: its caller fills a part in, and everything that is in it is made, one after
 * the other. The system calls for a small file: openat (with its final mode), pwrite, utimensat,
 * close. They are plain calls: files are made at once, and what has to be waited for is the
 * caller's business.
 *
 * Each file's digest is taken of the bytes that are written; of a file with several pieces, which
 * come in any order, of what it has at its end, which is still in memory. A file that is not what
 * its digest says ends the job.
 */
#include "engine/transfer_supply.h"

#include "engine/attr.h"
#include "engine/compiler.h"
#include "engine/manifest.h"
#include "engine/release.h"
#include "engine/supply_tree.h"
#include "engine/symlink.h"

#include <assert.h>
#include <fcntl.h>

enum { PIECE_BYTES = 8 << 20 }; /* that are written in one call */

/* A unit under way. */
struct unit {
    struct copyengine_job *job;
    size_t number;
    size_t piece;    /* that is made, or the next */
    size_t end;      /* of its pieces */
    size_t extent;   /* of the piece */
    bool whole;      /* of the piece's file: this is the last piece, and all others are done */
    char *buffer;    /* the part; NULL: it has no bytes */
    uint32_t pinned; /* the directory of the piece before, and perhaps of the next; SUPPLY_NONE */
    struct batch batch; /* of the file that is made: in the directory that is pinned */
};

static transfer_step step_fill, step_next, step_extent, step_write, step_piece_done, step_check,
    step_complete, step_closed;

static struct unit *unit_of(const struct transfer *transfer)
{
    return CONTAINER_OF(transfer->file->batch, struct unit, batch);
}

static const struct supply_piece *piece_of(const struct unit *unit)
{
    assert(unit->piece < unit->end);
    return &unit->job->supply->pieces[unit->piece];
}

static const struct copyengine_entry *entry_of(const struct unit *unit)
{
    return &unit->job->supply->entries[piece_of(unit)->entry];
}

static const struct supply_item *item_of(const struct unit *unit)
{
    return &unit->job->supply->items[piece_of(unit)->entry];
}

/* NULL: the file has one piece, or none. */
static struct supply_span *span_of(const struct unit *unit)
{
    const struct supply *supply = unit->job->supply;
    uint32_t number = item_of(unit)->number;
    return entry_of(unit)->type == COPYENGINE_FILE && number != SUPPLY_NONE ? &supply->spans[number]
                                                                            : NULL;
}

/* --- Letting go ------------------------------------------------------------------------------- */

/* A piece of a job that has stopped. */
static void drop_piece(const struct io_port *port, const struct supply *supply,
                       const struct supply_piece *piece)
{
    const struct copyengine_entry *entry = &supply->entries[piece->entry];
    uint32_t number = supply->items[piece->entry].number;
    if (supply->items[piece->entry].reused)
        return;
    if (entry->type == COPYENGINE_FILE && number != SUPPLY_NONE) {
        struct supply_span *span = &supply->spans[number];
        if (atomic_fetch_sub(&span->left, 1) > 1)
            return;
        cleanup_close_fd(&span->fd);
    }
    supply_release_entry(port, supply, piece->entry);
}

static size_t first_piece(const struct supply *supply, size_t unit)
{
    return unit > 0 ? supply->unit_ends[unit - 1] : 0;
}

void transfer_drop_units(const struct io_port *port, struct copyengine_job *job, size_t first,
                         size_t end)
{
    const struct supply *supply = job->supply;
    struct directory *root = supply->directories[0].directory;
    for (size_t i = first_piece(supply, first); i < first_piece(supply, end); i++)
        drop_piece(port, supply, &supply->pieces[i]);
    schedule_release_units(job->common->schedule, job, first, end);
    for (size_t unit = first; unit < end; unit++)
        directory_release(port, root);
}

static void unpin(struct unit *unit)
{
    if (unit->pinned != SUPPLY_NONE)
        supply_unpin(unit->job->supply, unit->pinned);
    unit->pinned = SUPPLY_NONE;
}

/* Ends a unit; what is left of it is dropped: the job has stopped then. */
static enum transfer_state end_unit(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    struct copyengine_job *job = unit->job;
    const struct io_port *port = &host->port;
    struct directory *root = job->supply->directories[0].directory;
    assert(unit->piece == unit->end || job_is_stopped(job));
    transfer_release_buffer(host, transfer);
    cleanup_close_fd(&transfer->own.destination_fd);
    unpin(unit);
    if (unit->whole)
        supply_release_entry(port, job->supply, job->supply->pieces[unit->piece++].entry);
    for (; unit->piece < unit->end; unit->piece++)
        drop_piece(port, job->supply, piece_of(unit));
    free(unit->buffer);
    schedule_release_units(job->common->schedule, job, unit->number, unit->number + 1);
    free(unit);
    directory_release(port, root);
    return TRANSFER_DONE;
}

static enum transfer_state fail(struct transfer_host *host, struct transfer *transfer,
                                const char *operation, enum job_side side, int64_t code)
{
    const struct file *file = transfer->file;
    job_fail(transfer_job(transfer), operation, side, file->batch->directory, file->name,
             (int)code);
    return end_unit(host, transfer);
}

/* --- What has a name -------------------------------------------------------------------------- */

/* Has the directory open that the piece's entry is in. Returns false: the job has failed. */
static bool enter_directory(const struct io_port *port, struct unit *unit, uint32_t number)
{
    if (unit->pinned == number)
        return true;
    unpin(unit);
    struct directory *directory = supply_pin(port, unit->job, number);
    if (!directory)
        return false;
    unit->pinned = number;
    unit->batch.directory = directory;
    return true;
}

/* Makes one more name of an entry, which is complete. Returns false: the job has failed. */
static bool make_link(const struct io_port *port, const struct transfer *transfer,
                      const struct copyengine_entry *original, uint32_t link)
{
    struct copyengine_job *job = transfer_job(transfer);
    const struct supply *supply = job->supply;
    const struct copyengine_entry *entry = &supply->entries[link];
    const struct file *linked = transfer->file;
    uint32_t number = supply->items[link].directory;
    struct directory *directory = supply_pin(port, job, number);
    if (!directory)
        return false;
    const char *name = supply_name(entry);
    int64_t result = io_do(port, (struct io_op){.kind = IO_HARD_LINK,
                                                .fd = linked->batch->directory->destination_fd,
                                                .name = linked->name,
                                                .other_fd = directory->destination_fd,
                                                .other_name = name});
    if (result < 0) {
        job_fail(job, "link", JOB_DESTINATION, directory, name, (int)-result);
    } else if (original->type == COPYENGINE_FILE) {
        struct batch batch = {.directory = directory};
        struct file file = *linked;
        file.batch = &batch;
        file.name = name;
        if (job->manifest)
            manifest_add_file(job->manifest, &file);
        job_completed(job, &job->files_done);
    } else {
        if (job->manifest)
            manifest_add_symlink(job->manifest, directory, name, original->target,
                                 linked->attributes.mtime);
        job_completed(job, &job->symlinks_done);
    }
    supply_unpin(job->supply, number);
    return result >= 0;
}

bool transfer_supply_link(const struct io_port *port, const struct transfer *transfer, size_t entry)
{
    struct copyengine_job *job = transfer_job(transfer);
    const struct supply *supply = job->supply;
    for (uint32_t link = supply->items[entry].first_link; link != SUPPLY_NONE;
         link = supply->items[link].next_link)
        if (job_is_stopped(job) || !make_link(port, transfer, &supply->entries[entry], link))
            return false;
    return true;
}

/* Makes the hard links of what is complete, and goes on. */
static enum transfer_state finish_entry(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    uint32_t entry = piece_of(unit)->entry;
    if (!transfer_supply_link(&host->port, transfer, entry))
        return end_unit(host, transfer);
    unit->whole = false;
    supply_release_entry(&host->port, unit->job->supply, entry);
    unit->piece++;
    return transfer_go_on(transfer, step_next);
}

static enum transfer_state make_symlink(struct transfer_host *host, struct transfer *transfer)
{
    const struct unit *unit = unit_of(transfer);
    struct copyengine_job *job = unit->job;
    const struct copyengine_entry *entry = entry_of(unit);
    struct timespec mtime = entry->mtime;
    const char *name = transfer->file->name;
    int64_t result =
        symlink_make(&host->port, unit->batch.directory, name, entry->target, NULL, &mtime);
    if (result < 0)
        return fail(host, transfer, "symlink", JOB_DESTINATION, -result);
    if (job->manifest)
        manifest_add_symlink(job->manifest, unit->batch.directory, name, entry->target, mtime);
    job_completed(job, &job->symlinks_done);
    transfer->file->attributes.mtime = mtime;
    return finish_entry(host, transfer);
}

/* --- Files ------------------------------------------------------------------------------------ */

struct attr_target transfer_supply_target(const struct transfer_host *host,
                                          const struct transfer *transfer,
                                          const struct copyengine_entry *entry)
{
    return (struct attr_target){
        .port = &host->port,
        .directory = transfer->file->batch->directory,
        .name = transfer->file->name,
        .source_fd = -1,
        .destination_fd = transfer->file->destination_fd,
        .xattrs = entry->xattrs,
        .xattr_count = entry->xattr_count,
    };
}

void transfer_supply_begin_file(const struct transfer_host *host, struct transfer *transfer,
                                const struct copyengine_entry *entry)
{
    const struct copyengine_job *job = transfer_job(transfer);
    struct file *file = transfer->file;
    file->size = file->stated = entry->size;
    file->attributes = (struct attributes){
        .mode = attr_permissions(job, entry->mode & ~(mode_t)S_IFMT), .mtime = entry->mtime};
    file->has_digest = false;
    const struct attr_target target = transfer_supply_target(host, transfer, entry);
    file->has_xattrs = attr_supplies_xattrs(&target);
    file->made_otherwise = file->has_xattrs && !(file->attributes.mode & S_IWUSR);
    digest_begin(&transfer->digest, job->digest_kind);
}

static int64_t create_file(const struct io_port *port, const struct file *file)
{
    mode_t mode = file->attributes.mode | (file->has_xattrs ? S_IWUSR : 0);
    return io_do(port, (struct io_op){
                           .kind = IO_OPEN,
                           .fd = file->batch->directory->destination_fd,
                           .name = file->name,
                           .flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           .mode = mode,
                       });
}

/* Makes a file with several pieces, if nobody has done so. Returns 0 or -errno. */
static int64_t join_span(struct transfer_host *host, struct transfer *transfer,
                         struct supply_span *span)
{
    struct unit *unit = unit_of(transfer);
    struct supply *supply = unit->job->supply;
    int64_t result = 0;
    pthread_mutex_lock(&supply->lock);
    if (span->fd < 0) {
        result = create_file(&host->port, transfer->file);
        span->fd = (int)MAX(result, (int64_t)-1);
    }
    pthread_mutex_unlock(&supply->lock);
    return MIN(result, 0);
}

static enum transfer_state begin_file(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    const struct copyengine_entry *entry = entry_of(unit);
    struct file *file = transfer->file;
    struct supply_span *span = span_of(unit);
    transfer_supply_begin_file(host, transfer, entry);
    unit->extent = 0;
    int64_t result = span ? join_span(host, transfer, span) : create_file(&host->port, file);
    if (result < 0)
        return fail(host, transfer, "create", JOB_DESTINATION, -result);
    if (!span)
        file->destination_fd = (int)result;
    unit->whole = !span && piece_of(unit)->extent_count == 0;
    return transfer_go_on(transfer, unit->whole ? step_complete : step_extent);
}

/* The bytes at the transfer's offset, in the part. */
static const struct copyengine_extent *extent_of(const struct unit *unit)
{
    return &entry_of(unit)->extents[piece_of(unit)->extent + unit->extent];
}

static enum transfer_state step_extent(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    if (unit->extent == piece_of(unit)->extent_count)
        return transfer_go_on(transfer, step_piece_done);
    const struct copyengine_extent *extent = extent_of(unit);
    transfer->offset = extent->offset;
    transfer->end = extent->offset + extent->length;
    if (!span_of(unit) &&
        transfer_digest(transfer, unit->buffer + extent->part_offset, extent->length) < 0)
        return fail(host, transfer, "digest", JOB_SOURCE, ENOMEM);
    return transfer_go_on(transfer, step_write);
}

static enum transfer_state step_write(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    const struct copyengine_extent *extent = extent_of(unit);
    const struct supply_span *span = span_of(unit);
    uint64_t bytes = MIN(transfer->end - transfer->offset, (uint64_t)PIECE_BYTES);
    if (job_is_stopped(unit->job))
        return end_unit(host, transfer);
    if (bytes == 0) {
        unit->extent++;
        return transfer_go_on(transfer, step_extent);
    }
    if (!transfer_may_move(transfer, &bytes))
        return TRANSFER_DELAYED;
    uint64_t at = extent->part_offset + (transfer->offset - extent->offset);
    int64_t written =
        io_do(&host->port, (struct io_op){.kind = IO_WRITE,
                                          .fd = span ? span->fd : transfer->file->destination_fd,
                                          .data = unit->buffer + at,
                                          .length = bytes,
                                          .offset = transfer->offset});
    if (written <= 0)
        return fail(host, transfer, "write", JOB_DESTINATION, written < 0 ? -written : EIO);
    transfer_moved(transfer, (uint64_t)written);
    return TRANSFER_ADVANCE;
}

/* Who is done with the last piece of a file completes it. */
static enum transfer_state step_piece_done(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    struct supply_span *span = span_of(unit);
    (void)host;
    if (!span) {
        unit->whole = true;
        return transfer_go_on(transfer, step_complete);
    }
    if (atomic_fetch_sub(&span->left, 1) > 1) {
        unit->piece++;
        return transfer_go_on(transfer, step_next);
    }
    unit->whole = true;
    transfer->file->destination_fd = steal_fd(&span->fd);
    transfer->offset = transfer->end = 0;
    unit->extent = 0;
    return transfer_go_on(transfer, step_check);
}

/* Digests what a file has whose pieces came in any order: the next of its bytes. */
static enum transfer_state step_check(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    const struct copyengine_entry *entry = entry_of(unit);
    if (job_is_stopped(unit->job))
        return end_unit(host, transfer);
    if (transfer->offset == transfer->end) {
        if (unit->extent == entry->extent_count) {
            transfer_release_buffer(host, transfer);
            return transfer_go_on(transfer, step_complete);
        }
        const struct copyengine_extent *extent = &entry->extents[unit->extent++];
        transfer->offset = extent->offset;
        transfer->end = extent->offset + extent->length;
    }
    if (!transfer_take_buffer(host, transfer))
        return TRANSFER_STARVED;
    void *data = transfer_buffer(host, transfer);
    int64_t length = io_do(
        &host->port,
        (struct io_op){.kind = IO_READ,
                       .fd = transfer->file->destination_fd,
                       .data = data,
                       .length = MIN(transfer->end - transfer->offset, host->buffers->buffer_bytes),
                       .offset = transfer->offset});
    if (length <= 0)
        return fail(host, transfer, "read", JOB_DESTINATION, length < 0 ? -length : EIO);
    if (transfer_digest(transfer, data, (size_t)length) < 0)
        return fail(host, transfer, "digest", JOB_DESTINATION, ENOMEM);
    transfer->offset += (uint64_t)length;
    job_arrived(unit->job);
    return TRANSFER_ADVANCE;
}

bool transfer_supply_is_expected(const struct file *file, const struct copyengine_entry *entry)
{
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, file->digest);
    return memcmp(digest.digest, entry->digest, sizeof(digest.digest)) == 0;
}

/* All bytes are there. */
static enum transfer_state step_complete(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    struct copyengine_job *job = unit->job;
    const struct copyengine_entry *entry = entry_of(unit);
    struct file *file = transfer->file;
    const struct copyengine_extent *last = entry->extents + entry->extent_count;
    uint64_t end = entry->extent_count > 0 ? last[-1].offset + last[-1].length : 0;
    const char *failed = "";
    int64_t result = 0;
    if (end < file->size)
        result = io_do(
            &host->port,
            (struct io_op){.kind = IO_TRUNCATE, .fd = file->destination_fd, .offset = file->size});
    if (result < 0)
        return fail(host, transfer, "truncate", JOB_DESTINATION, -result);
    if (transfer_end_digest(transfer) < 0)
        return fail(host, transfer, "digest", JOB_SOURCE, ENOMEM);
    if (!transfer_supply_is_expected(file, entry)) {
        job_fail_because(job, "check", JOB_SOURCE, unit->batch.directory, file->name, EBADMSG,
                         "its contents are not what its digest says");
        return end_unit(host, transfer);
    }
    const struct attr_target target = transfer_supply_target(host, transfer, entry);
    result = attr_set(&target, &file->attributes, file->has_xattrs,
                      file->made_otherwise || job->modes_need_setting, &failed);
    if (result < 0)
        return fail(host, transfer, failed, JOB_DESTINATION, -result);
    return transfer_start(host, transfer,
                          (struct io_op){.kind = IO_CLOSE,
                                         .latency = job->destination_latency,
                                         .fd = steal_fd(&file->destination_fd)},
                          step_closed);
}

static enum transfer_state step_closed(struct transfer_host *host, struct transfer *transfer)
{
    struct copyengine_job *job = unit_of(transfer)->job;
    if (transfer->op.result < 0) /* a server may say only now that the disk is full */
        return fail(host, transfer, "close", JOB_DESTINATION, -transfer->op.result);
    if (job->manifest)
        manifest_add_file(job->manifest, transfer->file);
    job_completed(job, &job->files_done);
    const struct copyengine_entry *entry = entry_of(unit_of(transfer));
    uint64_t bytes = 0;
    for (size_t i = 0; i < entry->extent_count; i++)
        bytes += entry->extents[i].length;
    job_taken(job, piece_of(unit_of(transfer))->entry, COPYENGINE_TAKEN_FETCHED, bytes);
    return finish_entry(host, transfer);
}

/* --- The unit --------------------------------------------------------------------------------- */

/* Begins with the next piece. */
static enum transfer_state step_next(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    const struct supply *supply = unit->job->supply;
    if (unit->piece == unit->end || job_is_stopped(unit->job))
        return end_unit(host, transfer);
    const struct copyengine_entry *entry = entry_of(unit);
    if (item_of(unit)->reused) {
        unit->piece++;
        return TRANSFER_ADVANCE;
    }
    if (entry->type == COPYENGINE_DIRECTORY) { /* nothing is in it: it is made and completed */
        supply_release_entry(&host->port, supply, piece_of(unit)->entry);
        unit->piece++;
        return TRANSFER_ADVANCE;
    }
    transfer->own.name = supply_name(entry);
    if (!enter_directory(&host->port, unit, item_of(unit)->directory))
        return end_unit(host, transfer);
    return entry->type == COPYENGINE_SYMLINK ? make_symlink(host, transfer)
                                             : begin_file(host, transfer);
}

/* Whether something is to be made of a unit's part. */
static bool needs_part(const struct unit *unit)
{
    const struct supply *supply = unit->job->supply;
    if (unit->number >= unit->job->part_count)
        return false;
    for (size_t piece = unit->piece; piece < unit->end; piece++)
        if (!supply->items[supply->pieces[piece].entry].reused)
            return true;
    return false;
}

/* Has the caller fill the part in. It may take its time: then nothing is made any more. */
static enum transfer_state step_fill(struct transfer_host *host, struct transfer *transfer)
{
    struct unit *unit = unit_of(transfer);
    struct copyengine_job *job = unit->job;
    const struct supply *supply = job->supply;
    const char *why = NULL;
    if (!needs_part(unit) || job_is_stopped(job))
        return transfer_go_on(transfer, step_next);
    unit->buffer = malloc(job->part_bytes[unit->number]);
    int result = unit->buffer ? supply->read(supply->context, job, unit->number, unit->buffer, &why)
                              : -ENOMEM;
    if (result < 0) {
        job_fail_because(job, "read", JOB_SOURCE, NULL, NULL, -result, why);
        return end_unit(host, transfer);
    }
    return transfer_go_on(transfer, step_next);
}

bool transfer_begin_unit(struct transfer *transfer, struct copyengine_job *job, size_t number)
{
    const struct supply *supply = job->supply;
    struct unit *unit = malloc(sizeof(*unit));
    if (!unit) {
        job_fail(job, "copy", JOB_SOURCE, NULL, NULL, ENOMEM);
        return false;
    }
    *unit = (struct unit){
        .job = job,
        .number = number,
        .piece = first_piece(supply, number),
        .end = supply->unit_ends[number],
        .pinned = SUPPLY_NONE,
    };
    unit->batch.directory = supply->directories[0].directory;
    *transfer = (struct transfer){
        .own = {.batch = &unit->batch, .source_fd = -1, .destination_fd = -1},
        .delay = {.job = job},
        .step = step_fill,
        .buffer_index = -1,
        .digest = {.state = transfer->digest.state, .kind = job->digest_kind},
    };
    transfer->file = &transfer->own;
    return true;
}
