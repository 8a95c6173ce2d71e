/* How much is lacking: the source's directories are walked for a moment, no file is opened. */
#pragma once

#include "cache/json/json.h"

#include <stdbool.h>
#include <stdint.h>

/** Payload of what some node lacks. */
struct farm_size {
    bool is_known;
    bool is_guess; /* the time was too short: by the variants that were seen */
    uint64_t bytes;
    uint64_t files;
};

/**
 * Measures the sizes of some variants, in a process of its own: a file server that does not answer
 * keeps nobody.
 *
 * @param list     of an order: objects with a root
 * @param wanted   of each: whether it counts
 * @param limit_ms what is not seen by then is guessed
 * @param close_fd closed in that process; -1: none
 */
void farm_size_measure(const struct json *list, const bool *wanted, unsigned limit_ms, int close_fd,
                       struct farm_size *ret);
