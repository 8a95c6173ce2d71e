#include "engine/ranges.h"

#include "engine/compiler.h"
#include "engine/file.h"

#include <assert.h>

struct file *ranges_take(struct copyengine_job *job, uint64_t *ret_begin, uint64_t *ret_end)
{
    struct file *file = job->untaken_files;
    assert(file->untaken < file->size && atomic_load(&file->references) > 0);
    uint64_t left = file->size - file->untaken;
    *ret_begin = file->untaken;
    file->untaken += job_is_stopped(job) ? left : MIN(left, file->range_bytes);
    *ret_end = file->untaken;
    if (file->untaken < file->size)
        atomic_fetch_add(&file->references, 1);
    else
        job->untaken_files = file->next; /* and its reference is the caller's */
    return file;
}
