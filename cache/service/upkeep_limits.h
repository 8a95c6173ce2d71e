/* Settings of a daemon that are not about copying. */
#pragma once

#include "cache/pkgcache.h"

#include <stdint.h>

/** What is done besides copying, by the settings. */
struct upkeep_limits {
    struct pkgcache_clean clean; /* the limits of method clean; its callbacks are not used */
    uint64_t share_idle_s; /* equal files are to share their blocks when nothing was copied for
                              so long; 0: never */
};
