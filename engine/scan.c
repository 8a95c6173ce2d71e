/* What a walk does with what it finds when the tree is only read. Files are in transfer_scan.c. */
#include "engine/scan.h"

#include "engine/compiler.h"
#include "engine/engine.h"
#include "engine/manifest.h"

#include <limits.h>

bool scan_learn_root(struct directory *root)
{
    struct copyengine_job *job = root->job;
    /* A pair of its own: how direct reads go says nothing about copies. */
    job->pair = devices_find(&job->engine->devices, root->device, 0);
    if (!job->pair) {
        job_fail(job, "open", JOB_SOURCE, root, NULL, ENOMEM);
        return false;
    }
    job->source_latency = device_latency(device_kind(root->source_fd));
    job->workers_max = UINT_MAX;
    return true;
}

/* Whether an error says something of this process, and nothing of the file. */
static bool is_ours(int code)
{
    switch (code) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EINTR:
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

bool scan_failed(struct directory *directory, const char *name, char type, const char *operation,
                 int code)
{
    struct copyengine_job *job = directory->job;
    if ((!name && !directory->parent) || is_ours(code)) {
        job_fail(job, operation, JOB_SOURCE, directory, name, code);
        return false;
    }
    if (code != ENOENT)
        manifest_add_other(job, directory, name, type, code);
    if (name)
        job_completed(job, &job->skipped);
    return name;
}

bool scan_unreadable(struct directory *directory, int code)
{
    if (is_ours(code)) {
        job_fail(directory->job, "read", JOB_SOURCE, directory, NULL, code);
        return false;
    }
    manifest_add_other(directory->job, directory, NULL, 'd', code);
    directory->unreadable = true;
    return false;
}

void scan_complete(struct directory *directory)
{
    if (directory->source_fd < 0 || directory->unreadable)
        return; /* that is noted */
    manifest_add_directory(directory->job, directory);
    job_completed(directory->job, &directory->job->directories_done);
}
