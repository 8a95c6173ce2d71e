/* Trees that are made of what the caller supplies: the job. */
#include "engine/supply.h"

#include "engine/compiler.h"
#include "engine/destination.h"
#include "engine/finding.h"
#include "engine/release.h"
#include "engine/schedule.h"
#include "engine/source.h"
#include "engine/supply_check.h"
#include "engine/supply_tree.h"
#include "engine/transfer_origin.h"

#include <assert.h>
#include <fcntl.h>

enum { PART_BYTES_MAX = 64 << 20 }; /* of one part: memory */

/* --- The job ---------------------------------------------------------------------------------- */

static struct attributes attributes_of(const struct copyengine_job *job,
                                       const struct copyengine_entry *entry)
{
    return (struct attributes){.mode =
                                   attr_permissions(job, (entry->mode & ~(mode_t)S_IFMT) | S_IFDIR),
                               .mtime = entry->mtime};
}

/* Makes a batch of the entries [first, end), which follow each other. */
static struct batch *make_batch(struct supply *supply, size_t first, size_t end)
{
    const char *names[FINDING_NAMES_MAX];
    uint32_t entries[FINDING_NAMES_MAX];
    unsigned count = 0;
    for (size_t i = first; i < end; i++) {
        names[count] = supply_name(&supply->entries[i]);
        entries[count++] = (uint32_t)i;
    }
    struct directory *directory = supply->directories[supply->items[first].directory].directory;
    struct batch *batch = batch_new_of_entries(directory, names, entries, count);
    if (batch)
        batch->donated = supply->origins[first].donor;
    return batch;
}

/* Whether two files may be in one batch. */
static bool go_together(const struct supply *supply, size_t a, size_t b)
{
    return supply_has_origin(supply, b) &&
           supply->items[a].directory == supply->items[b].directory &&
           !supply->origins[a].donor == !supply->origins[b].donor;
}

/* Lets go of a file for which there is no batch. */
static void drop_file(const struct io_port *port, struct copyengine_job *job, uint32_t entry)
{
    const struct supply *supply = job->supply;
    struct batch batch = {.directory =
                              supply->directories[supply->items[entry].directory].directory};
    struct file file = {.batch = &batch, .entry = entry};
    transfer_end_origin(port, &file);
}

/* Begins with the files that are taken from others: those with donors on this machine's own
 * workers, though the source may be a server. */
static void begin_files(const struct io_port *port, struct copyengine_job *job)
{
    struct supply *supply = job->supply;
    struct batch_queue donated = {0}, fetched = {0};
    size_t end;
    for (size_t i = 1; i < supply->entry_count; i = end) {
        end = i + 1;
        if (!supply_has_origin(supply, i))
            continue;
        while (end < supply->entry_count && end - i < FINDING_NAMES_MAX &&
               go_together(supply, i, end))
            end++;
        struct batch *batch = make_batch(supply, i, end);
        if (batch) {
            batch_queue_append(batch->donated ? &donated : &fetched, batch);
            continue;
        }
        job_fail(job, "copy", JOB_SOURCE, NULL, NULL, ENOMEM);
        for (; i < end; i++)
            drop_file(port, job, (uint32_t)i);
    }
    if (job->destination_latency == IO_REMOTE)
        schedule_add_batches(job->common->schedule, job, donated.first);
    else
        schedule_add_local_batches(job->common->schedule, job, donated.first);
    schedule_add_batches(job->common->schedule, job, fetched.first);
}

/* The root is made: everything else is joined to it, and begins. */
static void begin_units(const struct io_port *port, struct copyengine_job *job,
                        struct directory *root)
{
    struct supply *supply = job->supply;
    supply->directories[0] = (struct supply_directory){.directory = root, .made = true, .pins = 1};
    for (size_t i = 1; i < supply->directory_count; i++) {
        const struct supply_directory *one = &supply->directories[i];
        struct directory *directory = one->directory;
        directory->job = job;
        directory->parent = supply->directories[supply->items[one->entry].directory].directory;
        directory->depth = directory->parent->depth + 1;
        directory->attributes = attributes_of(job, &supply->entries[one->entry]);
    }
    atomic_fetch_add(&root->references, supply->root_children + (unsigned)supply->unit_count);
    schedule_add_units(job->common->schedule, job, supply->unit_count);
    if (supply->origins)
        begin_files(port, job);
    supply_ready_parts(job);
}

/* Takes what the supply is made of. Returns false: it cannot be. */
static bool take_contents(struct copyengine_job *job, const struct copyengine_contents *contents)
{
    struct copyengine_origins origins;
    struct supply *supply = job->supply;
    if (supply->given_origins) {
        if (take_struct(&origins, sizeof(origins), supply->given_origins) < 0 ||
            (origins.origins && origins.count != contents->entry_count))
            return false;
        supply->origins = origins.origins;
        supply->source_fd = origins.source_fd;
    }
    if (!contents->entries ||
        (contents->part_count > 0 && (!contents->part_bytes || !supply->read)))
        return false;
    for (size_t i = 0; i < contents->part_count; i++)
        if (contents->part_bytes[i] == 0 || contents->part_bytes[i] > PART_BYTES_MAX)
            return false;
    supply->entries = contents->entries;
    supply->entry_count = contents->entry_count;
    job->part_bytes = contents->part_bytes;
    job->part_count = contents->part_count;
    return contents->part_count < SUPPLY_NONE;
}

/* Has the caller say what there is, if he has not. Returns false: the job has failed. */
static bool learn_contents(struct copyengine_job *job)
{
    struct supply *supply = job->supply;
    struct copyengine_contents contents = {0};
    const char *why = NULL;
    if (!supply->describe)
        return true;
    int result = supply->describe(supply->context, job, &contents, &why);
    if (result == 0 && !take_contents(job, &contents))
        result = -EINVAL;
    if (result < 0)
        job_fail_because(job, "read", JOB_SOURCE, NULL, NULL, -result, why);
    return result == 0;
}

/* Checks all entries. Returns false: the job has failed. */
static bool check_contents(struct copyengine_job *job)
{
    const struct copyengine_entry *entry;
    const char *why;
    int result = supply_check(job->supply, job->part_bytes, job->part_count, &entry, &why);
    if (result < 0)
        job_fail_because(job, "check", JOB_SOURCE, NULL,
                         result == -EBADMSG && entry && *entry->path ? entry->path : NULL, -result,
                         result == -EBADMSG ? why : NULL);
    return result == 0;
}

/* Opens the source, if files are taken from it. Returns false: the job has failed. */
static bool open_source(const struct io_port *port, struct directory *root)
{
    struct copyengine_job *job = root->job;
    struct supply *supply = job->supply;
    root->device = job->copy.source_device;
    if (!supply->has_sources)
        return true;
    root->source_fd = fcntl(supply->source_fd, F_DUPFD_CLOEXEC, 0);
    if (root->source_fd < 0)
        job_fail(job, "open", JOB_SOURCE, NULL, NULL, errno);
    if (root->source_fd < 0 || !source_stat_directory(port, root))
        return false;
    supply->source_files = root->files;
    return true;
}

/* Learns what the file system is like that the donors are on. Returns false: the job has failed. */
static bool learn_donors(const struct io_port *port, struct copyengine_job *job)
{
    struct supply *supply = job->supply;
    struct statx status;
    if (!supply->has_donors)
        return true;
    int64_t result =
        io_do(port, (struct io_op){.kind = IO_STAT, .fd = job->root_fd, .data = &status});
    if (result == 0)
        job->donor_pair = devices_enter(&job->common->devices, job->root_device, job->root_device);
    if (!job->donor_pair) {
        job_fail(job, "stat", JOB_DESTINATION, NULL, NULL, result < 0 ? (int)-result : ENOMEM);
        return false;
    }
    supply->donor_mount = source_mount(&status);
    supply->donor_files = device_files(job->root_fd);
    if (atomic_load(&job->pair->flushes))
        atomic_store(&job->donor_pair->flushes, true);
    return true;
}

static bool supply_open(const struct io_port *port, struct directory *root)
{
    struct copyengine_job *job = root->job;
    struct supply *supply = job->supply;
    if (!learn_contents(job) || !check_contents(job) || !open_source(port, root))
        return false;
    root->attributes = attributes_of(job, &supply->entries[0]);
    if (!destination_make(port, root, job->copy.destination_dirfd, job->copy.destination))
        return false;
    if (supply->waits || !supply->has_sources)
        job->source_latency = supply->waits ? IO_REMOTE : IO_IMMEDIATE;
    if (!learn_donors(port, job))
        return false;
    begin_units(port, job, root);
    return false; /* there is nothing in it to be read */
}

static void supply_complete(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    struct supply *supply = job->supply;
    uint32_t number = directory->number;
    if (!supply_pin(port, job, number))
        return;
    const struct copyengine_entry *entry = &supply->entries[supply->directories[number].entry];
    const struct attr_target target = {
        .port = port,
        .directory = directory,
        .source_fd = -1,
        .destination_fd = directory->destination_fd,
        .xattrs = entry->xattrs,
        .xattr_count = entry->xattr_count,
    };
    destination_complete(&target, directory, attr_supplies_xattrs(&target));
    supply_unpin(supply, number);
}

static void supply_destroy(struct copyengine_job *job)
{
    struct supply *supply = job->supply;
    if (!supply)
        return;
    for (size_t i = 1; supply->directories && i < supply->directory_count; i++)
        free(supply->directories[i].directory);
    free(supply->items);
    free(supply->pieces);
    free(supply->unit_ends);
    free(supply->directories);
    free(supply->spans);
    free(supply->undecided);
    pthread_mutex_destroy(&supply->lock);
    if (supply->on_released)
        supply->on_released(supply->context);
    free(supply);
}

static const struct job_kind supply_kind = {
    .verb = "copy",
    .side = JOB_SOURCE,
    .open = supply_open,
    .begin = transfer_begin_origin,
    .copied = transfer_end_contents,
    .end_file = transfer_end_origin,
    .complete = supply_complete,
    .finish = destination_finish,
    .forget = supply_forget,
    .destroy = supply_destroy,
};

static struct supply *supply_new(const struct copyengine_supply *known)
{
    struct supply *supply = calloc(1, sizeof(*supply));
    if (!supply)
        return NULL;
    supply->describe = known->describe;
    supply->read = known->read;
    supply->on_released = known->on_released;
    supply->context = known->contents_context;
    supply->waits = known->waits;
    supply->given_origins = known->origins;
    supply->on_file = known->on_file;
    pthread_mutex_init(&supply->lock, NULL);
    return supply;
}

bool copyengine_supply_moves(struct copyengine_job *job)
{
    job_arrived(job);
    return !job_is_stopped(job);
}

int supply_submit(struct engine_common *common, const struct copyengine_supply *supplied,
                  struct copyengine_job **ret)
{
    struct copyengine_supply known;
    struct copyengine_job *job;
    if (take_struct(&known, sizeof(known), supplied) < 0 || !known.source || !*known.source ||
        !known.destination || !*known.destination)
        return -EINVAL;
    const struct copyengine_copy copy = {
        .source = known.source,
        .destination_dirfd = known.destination_dirfd,
        .destination = known.destination,
        .root_stays_writable = known.root_stays_writable,
        .on_progress = known.on_progress,
        .progress_interval_ms = known.progress_interval_ms,
        .on_warning = known.on_warning,
        .on_done = known.on_done,
        .context = known.context,
        .priority = known.priority,
        .bytes_per_s = known.bytes_per_s,
        .set_id = known.set_id,
        .digest = true,
        .manifest = known.manifest,
        .manifest_fd = known.manifest_fd,
        .source_device = known.source_device,
        .destination_shown = known.destination_shown,
        .owned_directories = known.owned_directories,
    };
    struct supply *supply = supply_new(&known);
    int result = supply ? job_new(common, &supply_kind, &copy, &job) : -ENOMEM;
    if (result < 0) {
        free(supply);
        return result;
    }
    job->supply = supply;
    job_reference(job);
    result = known.describe || take_contents(job, &known.contents) ? 0 : -EINVAL;
    if (result == 0)
        result = schedule_submit(common->schedule, job, ret);
    else
        job_release(job);
    if (result < 0)
        supply->on_released = NULL; /* what was supplied stays the caller's */
    job_release(job);
    return result;
}
