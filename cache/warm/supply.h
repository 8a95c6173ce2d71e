/*
 * What brings a variant's payload when that is no directory: an archive, say. Whoever warms has the
 * engine ask it for contents, and knows no archives.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cache/warm/first_error.h"

struct donors;
struct warm_supply;

struct warm_supply_kind {
    /**
     * Begins with a copy of it.
     *
     * @param donors where contents may be that it has (donors.h), taken over unless NULL is
     *               returned. NULL: they are not to be looked for
     * @return       what the next four are called with; NULL: no memory
     */
    void *(*begin)(struct warm_supply *supply, struct donors *donors);
    /** The files that contents are taken from, which `describe` fills in; NULL: there are none. */
    const struct copyengine_origins *(*origins)(void *copy);
    /** These are called by threads of the engine, perhaps when the supply is gone already: see
     * struct copyengine_supply. They may wait, and tell with copyengine_supply_moves that bytes
     * arrive: the heartbeat of a slow copy. */
    int (*describe)(void *copy, struct copyengine_job *job, struct copyengine_contents *ret,
                    const char **ret_explanation);
    int (*read)(void *copy, struct copyengine_job *job, size_t part, void *buffer,
                const char **ret_explanation);
    void (*end)(void *copy);
    /** How many bytes its files have, without holes; 0: there is no telling. Reads what describe
     * reads. */
    uint64_t (*measure)(struct warm_supply *supply);
    /** These three matter to what comes once, in order. The copy will be asked for: said before
     * any copy of what comes the same way begins. */
    void (*expect)(struct warm_supply *supply);
    /** Whether its turn is near: who begins with it earlier has what is before it kept. */
    bool (*is_near)(struct warm_supply *supply);
    /** It is copied, or never will be. */
    void (*settle)(struct warm_supply *supply);
    /** Frees the supply. */
    void (*release)(struct warm_supply *supply);
};

struct warm_supply {
    const struct warm_supply_kind *kind;
    const char *name;         /* what it is called in messages; lives as long as the supply */
    bool waits;               /* it may wait for a server, or for another program */
    dev_t device;             /* where it is */
    uint64_t bytes;           /* of its files, holes included, so perhaps more than it takes */
    uint64_t entries;         /* files, directories, links */
    struct first_error error; /* why a call of its kind failed, where the errno says too little */
};
