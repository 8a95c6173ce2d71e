/* What all jobs of an engine have in common, beside its threads. */
#pragma once

#include "engine/device.h"
#include "engine/limit.h"

#include <stdatomic.h>

struct canceller;
struct copyengine_job;
struct schedule;

struct engine_common {
    struct limit limit; /* of all jobs together */
    struct devices devices;
    atomic_bool modes_masked;   /* a thread could not have a umask of its own */
    unsigned removal_depth_max; /* of directories that are open at once: see remove.c */
    struct schedule *schedule;
    struct canceller *canceller;
    /** A job was cancelled, and has stopped: sees to it that it ends soon. */
    void (*on_cancelled)(struct copyengine_job *job);
};
