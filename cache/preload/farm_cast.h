/*
 * Sends a pack to nodes that wait for its parts: Slurm's sbcast, a tree. What goes wrong with that,
 * and how it is met:
 *
 * - A cast that is repeated under the same name in the same job ends well, and leaves wrong files:
 *   each attempt has names of its own, and each node checks size and digest.
 * - One bad node ends the cast for all: it is dropped if it is named, and the others go on in
 *   another job, with the parts that they have; if none is named twice, each node gets a job of its
 *   own.
 * - What sbcast says counts nothing: a node has a part when it says so.
 */
#pragma once

#include "cache/preload/farm_attempts.h"

/** Names the directory of the parts for the next attempt, and writes its order. @param ret_name of
 * the order's file @return 0 or -errno */
int farm_cast_prepare(struct coordinator *coordinator, char ret_name[static 40]);

/** Casts what can be cast to the attempts under way. @return 0 or -errno */
int farm_cast_advance(struct coordinator *coordinator);

/** Ends the jobs that wait for parts from a coordinator that is gone; their nodes begin anew.
 * @return 0 or -errno */
int farm_cast_stop_old(struct coordinator *coordinator);

/** Forgets all casts. */
void farm_cast_free(struct coordinator *coordinator);
