/* What a scan does with what it finds in a tree that is only read: it notes it. */
#include "engine/scan_note.h"

#include "engine/manifest.h"

#include <errno.h>

bool scan_error_is_ours(int code)
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

bool scan_note_failure(struct directory *directory, const char *name, char type,
                       const char *operation, int code)
{
    struct copyengine_job *job = directory->job;
    if ((!name && !directory->parent) || scan_error_is_ours(code)) {
        job_fail(job, operation, JOB_SOURCE, directory, name, code);
        return false;
    }
    if (code != ENOENT)
        manifest_add_other(job->manifest, directory, name, type, code);
    if (name)
        job_completed(job, &job->skipped);
    return name;
}
