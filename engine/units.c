/*
 * Units of supplies. The memory of the parts that are taken is bounded, for all jobs together; and
 * for each source, so that one that hangs leaves some to the others. One part may always be taken.
 */
#include "engine/units.h"

#include <assert.h>

enum {
    BYTES_MAX = 40 << 20, /* of all parts that are taken */
    BYTES_MAX_OF_SOURCE = 32 << 20,
};

static size_t bytes_of(const struct copyengine_job *job, size_t unit)
{
    return unit < job->part_count ? job->part_bytes[unit] : 0;
}

bool units_has_next(const struct copyengine_job *job, size_t taken_bytes)
{
    if (job->untaken_unit == job->ready_units)
        return false;
    size_t bytes = bytes_of(job, job->untaken_unit);
    return job_is_stopped(job) || bytes == 0 || taken_bytes == 0 ||
           (taken_bytes + bytes <= BYTES_MAX &&
            (job->pair->parts_bytes == 0 || job->pair->parts_bytes + bytes <= BYTES_MAX_OF_SOURCE));
}

size_t units_take(struct copyengine_job *job, size_t *taken_bytes)
{
    size_t first = job->untaken_unit;
    assert(first < job->ready_units && job->ready_units <= job->unit_count);
    job->untaken_unit = job_is_stopped(job) ? job->ready_units : first + 1;
    for (size_t unit = first; unit < job->untaken_unit; unit++) {
        *taken_bytes += bytes_of(job, unit);
        job->pair->parts_bytes += bytes_of(job, unit);
    }
    return first;
}

void units_give_back(const struct copyengine_job *job, size_t first, size_t end,
                     size_t *taken_bytes)
{
    for (size_t unit = first; unit < end; unit++) {
        assert(*taken_bytes >= bytes_of(job, unit));
        assert(job->pair->parts_bytes >= bytes_of(job, unit));
        *taken_bytes -= bytes_of(job, unit);
        job->pair->parts_bytes -= bytes_of(job, unit);
    }
}
