/*
 * How fast earlier runs were: each run leaves a small file in its directory when it has ended, and
 * the newest of those beside it are read. Where a directory has runs of other farms, only those
 * with the same launcher and partition count.
 */
#pragma once

#include "cache/preload/farm_directory.h"
#include "cache/preload/farm_history.h"

#define FARM_RATES_FILE "measured.json"

/** Bytes of payload a second; 0: no run has shown it. */
struct farm_rates {
    double source_bytes_s;  /* that the file server gave to all nodes together */
    double packing_bytes_s; /* that were packed */
    double cast_bytes_s;    /* that each node got of a pack that was cast, copying included */
    double share_bytes_s;   /* that all nodes together got of a pack on a share, likewise */
};

/** Writes down what a run that has ended has shown, if it has copied enough to show something. What
 * goes wrong is not told: it is a help for later runs only. */
void farm_rates_write(const struct farm_directory *directory, const struct farm_history *history,
                      uint64_t packed_bytes);

/** Reads what the newest runs beside this one have shown. */
void farm_rates_read(const struct farm_directory *directory, const struct farm_plan *plan,
                     struct farm_rates *ret);
