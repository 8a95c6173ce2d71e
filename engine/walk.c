/*
 * Reading directories, a piece at a time. What becomes of what is found is the kind of job's
 * business.
 */
#include "engine/walk.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/finding.h"
#include "engine/job.h"
#include "engine/release.h"
#include "engine/schedule.h"

#include <assert.h>

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Reads what is next in a directory, which is open. Returns whether there is more. */
static bool read_piece(struct directory *directory, char *buffer, struct finding *finding)
{
    struct copyengine_job *job = directory->job;
    uint64_t began_ns = clock_monotonic_ns();
    int64_t bytes = io_do(finding->port, (struct io_op){.kind = IO_LIST,
                                                        .fd = directory->source_fd,
                                                        .data = buffer,
                                                        .length = WALK_BUFFER_BYTES});
    if (bytes < 0)
        job->kind->unreadable(directory, (int)-bytes);
    if (bytes <= 0)
        return false;
    assert(bytes <= WALK_BUFFER_BYTES);
    if (job->kind->read_by_workers_when_hot)
        device_pair_learn(job->pair, began_ns, bytes);
    for (int64_t at = 0; at < bytes;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
        at += entry->d_reclen;
        if (is_dot(entry->d_name))
            continue;
        if (job_is_stopped(job) || !job->kind->entry(finding, directory, entry))
            return false;
    }
    return finding_end_batch(finding, directory);
}

void walk_read(const struct io_port *port, struct directory *directory, char *buffer)
{
    struct copyengine_job *job = directory->job;
    struct finding finding = {.port = port};
    bool more = !job_is_stopped(job);
    if (more && directory->source_fd < 0)
        more = job->kind->open(port, directory);
    more = more && read_piece(directory, buffer, &finding);
    schedule_give_directory(job->common->schedule, directory, more, finding.directories,
                            finding.batches);
    if (!more)
        directory_release(port, directory);
}
