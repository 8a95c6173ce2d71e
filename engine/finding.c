/* What one piece of a directory held. */
#include "engine/finding.h"

#include "engine/compiler.h"
#include "engine/job.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>

bool finding_add_directory(struct finding *finding, struct directory *parent, const char *name)
{
    struct directory *found = directory_new(parent->job, parent, name);
    if (!found) {
        job_fail(parent->job, "read", parent->job->kind->side, parent, name, ENOMEM);
        return false;
    }
    found->next = finding->directories;
    finding->directories = found;
    return true;
}

bool finding_add_file(struct finding *finding, struct directory *directory, const char *name)
{
    assert(finding->name_count < FINDING_NAMES_MAX);
    finding->names[finding->name_count++] = name;
    return finding->name_count < FINDING_NAMES_MAX || finding_end_batch(finding, directory);
}

bool finding_end_batch(struct finding *finding, struct directory *directory)
{
    if (finding->name_count == 0)
        return true;
    struct batch *batch = batch_new(directory, finding->names, finding->name_count);
    if (!batch) {
        job_fail(directory->job, "read", directory->job->kind->side, directory, NULL, ENOMEM);
        return false;
    }
    batch->next = finding->batches;
    finding->batches = batch;
    finding->name_count = 0;
    return true;
}

int finding_ask_type(const struct finding *finding, const struct directory *directory,
                     const struct dirent64 *entry)
{
    bool follow = job_follows_links(directory->job);
    if (entry->d_type != DT_UNKNOWN && !(follow && entry->d_type == DT_LNK))
        return entry->d_type;
    struct statx status;
    int64_t result = io_do(finding->port, (struct io_op){.kind = IO_STAT,
                                                         .fd = directory->source_fd,
                                                         .name = entry->d_name,
                                                         .one_mount = directory->job->one_mount,
                                                         .flags = follow ? 0 : AT_SYMLINK_NOFOLLOW,
                                                         .data = &status});
    return result < 0 ? (int)result : IFTODT(status.stx_mode);
}
