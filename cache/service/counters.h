/* What a daemon counts of what it does: each part counts its own, report.h tells them all. */
#pragma once

#include <stdint.h>

struct counters {
    uint64_t messages; /* lines that were read */
    uint64_t requests; /* a message may be several */
    uint64_t warms;    /* requests of method warm */
    uint64_t errors;   /* answers that are */
    uint64_t look_ups;
    uint64_t hits;
    uint64_t accepted; /* connections */
    uint64_t refused;
    uint64_t dropped; /* for what they sent, or did not read */
    uint64_t jobs;    /* of method warm */
    uint64_t variants_done;
    uint64_t variants_failed;
};
