/*
 * One warm under way: what its variants share. warm.c drives it, addition.c does what is done for
 * one variant.
 */
#pragma once

#include "cache/flush.h"
#include "cache/heartbeat.h"
#include "cache/roots.h"
#include "cache/slot.h"
#include "cache/staging.h"
#include "cache/watch.h"

enum stage {
    STAGE_CHECKING, /* its root is being looked at */
    STAGE_NEW,      /* in the queue of those to begin with */
    STAGE_WAITING,  /* for another process */
    STAGE_COPYING,  /* the engine has it */
    STAGE_FLUSHING, /* placed; the flusher has it */
    STAGE_DONE,
};

/** One variant on its way into the cache. */
struct addition {
    struct run *run;
    struct addition *next; /* in the run's queue, its list of copied ones, or a group */
    const struct pkgcache_variant *variant;
    struct pkgcache_result *result;
    const char *replaced; /* a slot of the variant that does not count; NULL: none */
    size_t index;
    enum stage stage;
    char tree_name[32]; /* in staging */
    char sidecar_name[32];
    char manifest_name[32];
    int manifest_fd; /* -1: none is written, or no longer */
    char *sidecar_text;
    bool sidecar_staged;
    bool tree_staged; /* copied whole, and the slot for it was lost */
    unsigned losses;
    struct slot *slot;
    bool announced;             /* others see the slot */
    struct slot_view condemned; /* a slot whose copier is gone; status NOT_FOUND: none */
    struct copyengine_job *job;
    mode_t root_mode;
    struct timespec root_mtime;
    struct flush_request flush;
    int attributes_result;     /* of giving the root its last attributes */
    int watched_directory;     /* -1: none */
    uint64_t wait_deadline_ns; /* CLOCK_MONOTONIC; when the copier's grace time is over */
};

/** How far a run is as a whole. */
enum run_phase {
    RUN_CHECKING, /* roots are looked at */
    RUN_STAGING,  /* sidecars are flushed, all together */
    RUN_COPYING,
};

struct run {
    struct pkgcache *cache;
    const struct pkgcache_warm *warm;
    struct pkgcache_warm known;  /* `warm` points here */
    const char *const *replaced; /* by warm_replacing */
    struct pkgcache_error *error;
    int fatal; /* -errno: the run ends, nothing new is begun */
    struct addition *additions;
    struct addition *first_new;
    struct addition **last_new;
    enum run_phase phase;
    struct roots *roots;
    size_t checking; /* roots */
    uint64_t
        checking_until_ns; /* CLOCK_MONOTONIC; those that are not looked at by then come later */
    struct flush_request staged; /* of the sidecars */
    size_t flushing_max;
    size_t flushing; /* variants */
    size_t unfinished;
    bool hangs; /* a job did not end when it was cancelled */
    struct staging staging;
    struct heartbeat heartbeat;
    struct flusher *flusher;
    struct watch watch;
    int event_fd; /* readable: the engine or the flusher has something to say */
    uint64_t reported_ns;
    uint64_t finished_files;
    uint64_t finished_bytes;

    struct addition *copied_unplaced; /* when the lock could not be had for them */

    pthread_mutex_t lock; /* for what the engine's threads hand over */
    struct addition *copied;
};

/**
 * As pkgcache_warm, for variants of which the cache has a slot that is to be replaced: it does not
 * count, and is left as it is.
 *
 * @param replaced names of slots, one for each variant; NULL: there are none
 */
int warm_replacing(struct pkgcache *cache, const struct pkgcache_warm *warm,
                   const char *const *replaced, struct pkgcache_result *results,
                   struct pkgcache_error *ret_error);

/** The run ends with this error; its text is already set. @return code */
int run_fail(struct run *run, int code);

/** Puts an addition at the end of the queue of those to begin with. */
void run_enqueue(struct run *run, struct addition *addition);

/** Whether the cache's payloads have to survive a power cut. */
static inline bool run_is_durable(const struct run *run)
{
    return run->cache->options.durability != PKGCACHE_DURABILITY_NONE;
}

/*
 * The steps of an addition. Those with a lock are done for many additions while it is held once;
 * those that return bool say whether the next step is due: if not, the addition is finished, waits,
 * or is in the queue again.
 */

/** Looks whether there is anything to do, and has the root looked at. */
void addition_prepare(struct addition *addition);

/** Takes in what was found of the root: refuses what cannot be cached, queues the rest. */
void addition_checked(struct addition *addition, const struct root_check *check);

/** Stages the sidecar. Those that are staged first are flushed together. @return 0 or -errno */
int addition_stage(struct addition *addition, bool durable);

/** Looks again, and judges a slot that another process fills. */
bool addition_look(struct addition *addition);

/** Takes away what is dead or damaged, and reserves a slot. */
bool addition_reserve(struct addition *addition, const struct lock *lock);

/** Makes the reservation last. Slow, without the lock. */
bool addition_sync_reservation(struct addition *addition);

/** Announces the slot, if nobody was faster. */
bool addition_announce(struct addition *addition, const struct lock *lock);

/** Hands the copy to the engine, unless the tree is staged already, and can be placed. */
bool addition_copy(struct addition *addition, const struct lock *lock);

/** Takes what the engine made. The lock is for giving the slot up if that failed. */
bool addition_copied(struct addition *addition, const struct lock *lock);

/** Moves the tree into its slot. */
bool addition_place(struct addition *addition, const struct lock *lock);

/** Gives the placed payload its last attributes, and to the flusher. Without the lock. */
void addition_flush(struct addition *addition);

/** Makes a flushed payload found. */
bool addition_commit(struct addition *addition, const struct lock *lock);

/** Makes that last, and ends the addition. Slow, without the lock. */
void addition_conclude(struct addition *addition);

/** Gives the slot up, the run has failed. `lock` may be NULL: then only what is in memory. */
void addition_abandon(struct addition *addition, const struct lock *lock);

/** Frees what an addition owns, not itself. */
void addition_free(struct addition *addition);

/** Ends an addition. @param format the reason, for people; NULL: there is nothing to say */
void addition_finish(struct addition *addition, enum pkgcache_status status, const char *format,
                     ...) PRINTF_LIKE(3, 4);
