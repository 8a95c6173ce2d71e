/*
 * How bytes are to reach the nodes, when that is left to us (--fanout auto): by how much is
 * lacking, by how many nodes, and by what earlier runs took. Reads nothing and asks nobody:
 * farm_size.h and farm_rates.h say what is known.
 */
#pragma once

#include "cache/preload/farm_rates.h"
#include "cache/preload/farm_silence.h"
#include "cache/preload/farm_size.h"

/** What is known when nodes have said what they lack. */
struct farm_situation {
    size_t nodes;    /* that lack something */
    size_t variants; /* that some node lacks */
    bool can_cast;   /* Slurm, and a cache at one path */
    bool can_share;  /* all these nodes see the run's directory */
    struct farm_size size;
    struct farm_rates rates;
};

/**
 * Chooses.
 *
 * @param ret_why of FARM_WHY_MAX bytes: the reason, for people
 * @return        "source", "pack" or "tree"; static
 */
const char *farm_choice_make(const struct farm_situation *situation,
                             char ret_why[static FARM_WHY_MAX]);
