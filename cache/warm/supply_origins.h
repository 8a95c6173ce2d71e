/* Which files the contents of a supply are taken from, as the engine is told of them: of each entry
 * the donor, if there is one, and its file in the source. */
#pragma once

#include "cache/warm/donors.h"

/** Begun with supply_origins_begin. */
struct supply_origins {
    struct copyengine_origins origins;
    struct donors *donors; /* owned; NULL: they are not to be looked for */
    /* Private: */
    struct copyengine_origin *items;
};

/** @param donors taken over; NULL: they are not to be looked for */
void supply_origins_begin(struct supply_origins *origins, struct donors *donors);

/**
 * Looks for donors. Where there are none everything is fetched.
 *
 * @param contents  which the origins refer to from now on
 * @param source_fd a directory that has all entries that are files, the caller's; -1: there is
 *                  none, their extents say where their bytes are
 * @param job       of the engine, which hears that it goes on
 * @return          0; -ECANCELED: the job has ended; -ENOMEM
 */
int supply_origins_find(struct supply_origins *origins, const struct copyengine_contents *contents,
                        int source_fd, struct copyengine_job *job);

/** Frees all but itself. */
void supply_origins_free(struct supply_origins *origins);
