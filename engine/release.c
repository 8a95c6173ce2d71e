/*
 * Who lets go last completes: files do so with their batch, batches and directories with the
 * directory they are in. What completing means is the kind of job's business.
 */
#include "engine/release.h"

#include "engine/compiler.h"
#include "engine/job.h"
#include "engine/schedule.h"

#include <assert.h>

void directory_release(const struct io_port *port, struct directory *directory)
{
    while (directory) {
        unsigned before =
            atomic_fetch_sub_explicit(&directory->references, 1, memory_order_acq_rel);
        assert(before > 0);
        if (before > 1)
            return;
        struct directory *parent = directory->parent;
        struct copyengine_job *job = directory->job;
        assert(!parent || parent->job == job);
        if (!job_is_stopped(job))
            job->kind->complete(port, directory);
        if (directory->again) {
            directory->again = false;
            atomic_store(&directory->references, 1);
            schedule_add_directory(job->common->schedule, directory);
            return;
        }
        if (job->kind->forget)
            job->kind->forget(directory);
        cleanup_close_fd(&directory->source_fd);
        cleanup_close_fd(&directory->destination_fd);
        free(directory);
        if (!parent)
            job->kind->finish(job);
        directory = parent;
    }
}

void batch_release(const struct io_port *port, struct batch *batch)
{
    unsigned before = atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    struct directory *directory = batch->directory;
    free(batch);
    directory_release(port, directory);
}
