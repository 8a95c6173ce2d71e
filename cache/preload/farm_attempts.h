/*
 * The attempts of a run: starting launchers, seeing their ends. And what the coordinator knows, for
 * the files that it consists of: farm_packing.c makes the pack, farm_cast.c sends it, and
 * farm_coordinator.c says what comes when.
 */
#pragma once

#include "cache/preload/farm_history.h"
#include "cache/preload/farm_launcher.h"
#include "cache/preload/farm_slurm.h"

/** What the coordinator keeps for itself about a node. */
struct patience {
    uint64_t until_ns; /* not before that */
    unsigned busy;     /* how often it was not to be had */
    unsigned casts;    /* how often a cast to it failed */
    bool is_alone;     /* it did not report among others: by itself, we see why */
    bool again;        /* its attempt was ended for others' sake */
    char why[512];     /* why its cast failed */
};

struct coordinator {
    struct farm_directory *directory;
    struct farm_history *history;
    const struct farm_launcher *launcher;
    struct patience *patience; /* of each node */
    struct farm_slurm_nodes slurm;
    struct farm_pack pack; /* what nodes warm from; its digest is "" before it is made */
    char *lost; /* why there is none, although one was to be made; NULL: nothing is wrong */
    struct farm_cast *casts; /* farm_cast.c's; NULL: none is under way */
    uint64_t seen;           /* bytes that nodes had reported, and we had noted */
    uint64_t changed_ns;     /* when that was less */
    uint64_t asked_ns;       /* when Slurm was; 0: not yet */
    uint64_t gathering_ns;   /* since when a cast waits for nodes; 0: none did */
    uint64_t unsettled_ns;   /* since when nodes are waited for that are to be had in a moment */
    uint64_t deaf_ns;        /* since when Slurm has not answered; 0: it does */
    char deaf[256];          /* what sinfo said then */
    uint64_t deadline_ns;    /* UINT64_MAX: there is none */
    const char *ending;      /* why all is being ended; NULL: it goes on */
    uint64_t ending_ns;      /* since when */
    bool is_told_to_end;     /* what runs was told, and Slurm has heard it */
    struct pkgcache_error *error;
};

/** Writes an event down, and takes it into account. @return 0 or -errno */
int farm_attempts_note(struct coordinator *coordinator, cJSON *event);

/**
 * Starts a launcher for some nodes.
 *
 * @param places of the nodes in the run
 * @param input  the order's file; NULL: `order-STEP.json`
 * @return       0 or -errno
 */
int farm_attempts_start(struct coordinator *coordinator, enum farm_step step, const size_t *places,
                        size_t count, const char *input);

/** Ends the attempts whose launchers have ended: who has not reported by now, has failed.
 *
 * @param step        FARM_STEP_LOOK: only looks are counted as running
 * @param ret_running how many nodes' attempts go on
 * @return            0 or -errno
 */
int farm_attempts_end(struct coordinator *coordinator, enum farm_step step, size_t *ret_running);

/** Notices that the run is cancelled, or its time is over: then all jobs are ended. */
void farm_attempts_look_for_ends(struct coordinator *coordinator);

/** Reads what a program said on standard error into a file of the run: its beginning. */
void farm_attempts_read_errors(const struct coordinator *coordinator, const char *name,
                               struct text *text);

/** Ends the jobs of a run on an attempt's nodes: these have one of it at a time. Only where the
 * launcher has jobs. @return 0; or -errno: Slurm did not hear it, say, and is to be asked again */
int farm_attempts_end_job(const struct coordinator *coordinator,
                          const struct farm_attempt *attempt);

/** Ends all jobs of a run, whoever started them: through Slurm; or their launchers here.
 * @return 0 or -errno */
int farm_attempts_end_jobs(const struct farm_directory *directory,
                           const struct farm_launcher *launcher, const struct farm_history *history,
                           struct pkgcache_error *error);

/** The same, and what else the run has started here: packing, casts. @return 0 or -errno */
int farm_attempts_end_everything(const struct farm_directory *directory,
                                 const struct farm_launcher *launcher,
                                 const struct farm_history *history, struct pkgcache_error *error);

/** Waits until a child ends, or for a moment: a short one while things happen.
 * @param coordinator NULL: FARM_LOOK_AT_MS */
void farm_attempts_wait(struct coordinator *coordinator);

enum { FARM_CASTS_MAX = 4 }; /* of a pack to a node, before it is given up */
/* how often what nodes report is read, and files are looked at; and if something happened just now
 */
enum { FARM_LOOK_AT_MS = 200, FARM_LOOK_SOON_MS = 20, FARM_SOON_S = 2 };
