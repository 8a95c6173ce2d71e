/*
 * Variants on their way into the cache, and what they share. A run is started, fed, driven until
 * nothing is left, and ended; it may be fed while it is driven, by the same thread. warm.c drives
 * it, addition.c does what is done for one variant. pkgcache_warm feeds one run once.
 */
#pragma once

#include "cache/owner/heartbeat.h"
#include "cache/owner/watch.h"
#include "cache/store/lookup.h"
#include "cache/store/slot.h"
#include "cache/store/staging.h"
#include "cache/store/warnings.h"
#include "cache/warm/flush.h"
#include "cache/warm/roots.h"
#include "cache/warm/space.h"
#include "cache/warm/supply.h"
#include "cache/warm/wait_queue.h"

#include <stdatomic.h>

enum stage {
    STAGE_CHECKING, /* its root is being looked at */
    STAGE_NEW,      /* in the queue of those to begin with */
    STAGE_WAITING,  /* for another process */
    STAGE_COPYING,  /* the engine has it */
    STAGE_FLUSHING, /* placed; the flusher has it */
    STAGE_DONE,
};

enum {
    RUN_JOBS_MAX = 64,   /* variants that are copied at once */
    RUN_SMALL_MAX = 8,   /* of them: those that move, and have not turned out to be large */
    RUN_STILL_MS = 3000, /* nothing was copied, or arrived, for so long: it does not move */
    RUN_PRIORITIES = 3,  /* as many as enum copyengine_priority has */
};

/** One variant on its way into the cache. */
struct addition {
    struct run *run;
    struct addition *next;  /* in one of the run's queues, its list of copied ones, or a group */
    struct addition *newer; /* among those that are not done, or those that are */
    struct addition *older;
    const struct pkgcache_variant *variant;
    struct pkgcache_result *result;
    const char *replaced;          /* a slot of the variant that does not count; NULL: none */
    struct warm_supply *supply;    /* see warm_extras; or `published`; NULL: its root is copied */
    bool published_is_open;        /* counted by the run */
    struct warm_supply *published; /* owned: its root, by the manifest that was published of it */
    size_t index;                  /* counted by the run */
    enum stage stage;
    struct root_check *check; /* NULL: its root is not being looked at */
    bool reports_rootless;    /* see warm_extras; this and the next three are set by whoever added
                                 it, before run_drive */
    bool own_links;           /* see warm_extras */
    dev_t source_device;      /* the directory that its root must be; an inode number of 0: any */
    ino_t source_inode;
    bool cancelled;
    char tree_name[32]; /* in staging */
    char sidecar_name[32];
    char manifest_name[32];
    int manifest_fd; /* -1: none is written, or no longer */
    char *sidecar_text;
    bool sidecar_staged;
    bool tree_staged; /* copied whole, and the slot for it was lost */
    unsigned losses;
    bool waited;
    struct slot *slot;
    bool announced;             /* others see the slot */
    struct slot_view condemned; /* a slot whose copier is gone; status NOT_FOUND: none */
    struct copyengine_job *job; /* not NULL: it is among the run's jobs */
    size_t job_place;
    uint64_t promised_bytes; /* that its supply has; about, or more */
    uint64_t bytes_max;      /* of what is copied in the place of another slot; 0: any number */
    uint64_t moved_bytes;    /* what the job had copied, and how many files, ... */
    uint64_t moved_files;
    uint64_t moved_arrivals;  /* ... what else had shown that it gets on, */
    uint64_t moved_ns;        /* ... when it was last seen to get on; CLOCK_MONOTONIC */
    struct warnings warnings; /* of its job; the engine's threads add to them until it has ended */
    char *stopped;            /* why its job was cancelled; NULL: it was not */
    uint64_t began_ns;        /* CLOCK_MONOTONIC; 0: with nothing */
    dev_t root_device;
    mode_t root_mode;
    struct timespec root_mtime;
    struct flush_request flush;
    int attributes_result;       /* of giving the root its last attributes */
    struct waiter waiter;        /* its directory stays watched */
    struct slot_view waited_for; /* the copy */
    uint64_t waited_since_ns;    /* CLOCK_MONOTONIC; it has not beaten since */
};

/** Those to begin with, in order. */
struct addition_queue {
    struct addition *first;
    struct addition **last;
    unsigned passed_over; /* since one was taken */
};

/** How far a run is as a whole. */
enum run_phase {
    RUN_CHECKING, /* roots are looked at */
    RUN_STAGING,  /* sidecars are flushed, all together */
    RUN_COPYING,
};

struct run {
    struct pkgcache *cache;
    struct pkgcache_warm warm; /* how; its variants are added one by one */
    struct pkgcache_error error;
    int fatal;               /* -errno: the run ends, nothing new is begun */
    size_t added;            /* additions, ever */
    struct addition *fresh;  /* of those that are not done: the first that was not looked at */
    struct addition *oldest; /* of those that are not done */
    struct addition *newest;
    struct addition *done; /* to be freed when no step has them in its hands */
    struct addition_queue queues[RUN_PRIORITIES]; /* the most urgent first */
    struct addition *jobs[RUN_JOBS_MAX];          /* in no order */
    size_t job_count;
    unsigned claiming;      /* that are begun, and no jobs yet */
    uint64_t claimed_bytes; /* that these will write, as far as it is known */
    unsigned small_jobs;    /* of them, as RUN_SMALL_MAX counts */
    dev_t held_devices[RUN_JOBS_MAX / RUN_SMALL_MAX]; /* of whose roots no more are begun with */
    size_t held_count;
    unsigned published_open;      /* manifests and roots, of additions that are to be begun with */
    struct wait_queue wait_queue; /* for other processes */
    enum run_phase phase;
    struct roots *roots;
    size_t checking;             /* roots */
    uint64_t checking_until_ns;  /* CLOCK_MONOTONIC; those not looked at by then come later */
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
    bool report_withheld;  /* since the last one was just before */
    uint64_t copied_files; /* by jobs that have ended */
    uint64_t copied_bytes;
    uint64_t space_looked_ns;
    atomic_bool space_is_near; /* its end */
    atomic_ullong woken_ns;    /* CLOCK_MONOTONIC_COARSE; when a job's progress last did */
    uint64_t copying_since_ns; /* CLOCK_MONOTONIC; 0: nothing was copied */
    uint64_t copied_until_ns;

    struct addition *copied_unplaced; /* when the lock could not be had for them */

    pthread_mutex_t lock; /* for what the engine's threads hand over */
    struct addition *copied;
};

/** What the library may ask of a warm, and others may not. All zero: nothing. */
struct warm_extras {
    const char *const *replaced; /* one for each variant: the name of a slot that is to be replaced;
                                    it does not count, and is left as it is. NULL: there are none */
    struct warm_supply *const *supplies; /* one for each variant: what brings its payload; its root
                                            is only written down. NULL: there are none */
    bool reports_rootless;               /* a variant without a root that the cache does not have is
                                            NOT_FOUND, and nothing is written down of it */
    bool own_links; /* links on the way to roots are followed only if they belong to root
                       or this user */
};

/** As pkgcache_warm, with more. */
int warm_with(struct pkgcache *cache, const struct pkgcache_warm *warm,
              const struct warm_extras *extras, struct pkgcache_result *results,
              struct pkgcache_error *ret_error);

/**
 * Starts a run.
 *
 * @param warm what to call, when to wait and when to stop; its variants are not looked at
 * @param ret  ended with run_end
 * @return     0 or -errno
 */
int run_start(struct pkgcache *cache, const struct pkgcache_warm *warm, struct run **ret,
              struct pkgcache_error *ret_error);

/**
 * Adds a variant. Nothing happens to it before run_drive.
 *
 * @param variant  must live until it is done
 * @param replaced a slot of it that does not count; NULL: none
 * @param result   empty; filled in when it is done, and then told to on_result
 * @return         the addition, which is the run's, and gone when on_result has returned; NULL: out
 *                 of memory
 */
struct addition *run_add(struct run *run, const struct pkgcache_variant *variant,
                         const char *replaced, struct pkgcache_result *result);

/**
 * Goes on until something happened, and did what was to be done about it: with what was added, and
 * what is under way. When the run failed, all that was not done is FAILED with its reason.
 *
 * @return 0: go on, or end it when nothing is unfinished; or -errno: it failed
 */
int run_drive(struct run *run);

/** Makes run_drive return soon. From any thread, as long as the run is. */
void run_wake(const struct run *run);

/** Has an addition end as FAILED, and soon, unless it is as good as done. Only between two drives.
 */
void run_cancel(struct run *run, struct addition *addition);

/** Ends a run, and frees it. What is unfinished must have failed with it. NULL is allowed. */
void run_end(struct run *run);

/** The run ends with this error; its text is already set. @return code */
int run_fail(struct run *run, int code);

void run_init_queues(struct run *run);

/** An addition is not done yet, and was not looked at. */
void run_link(struct run *run, struct addition *addition);

/** An addition is done: it is freed when the step that ended it has returned. */
void run_unlink(struct run *run, struct addition *addition);

/** Puts an addition at the end of the queue of those to begin with that are as urgent. */
void run_enqueue(struct run *run, struct addition *addition);

/**
 * @return the next to begin with: one of those that are most urgent, or now and then of those that
 *         have been passed over; NULL: there is none
 */
struct addition *run_dequeue(struct run *run);

/** Takes an addition out of its queue. */
void run_withdraw(struct run *run, struct addition *addition);

/** Whether there are any to begin with. */
bool run_has_new(const struct run *run);

/**
 * Looks at how the jobs get on. What does not move gives its place up, as long as there are any:
 * sources that hang hold no others up. And of a device where RUN_SMALL_MAX jobs do not move, no
 * more are begun with until they do.
 */
void run_look_at_jobs(struct run *run);

/** How many more may be copied now. Each has descriptors open until it is committed. */
unsigned run_spare_jobs(const struct run *run);

/** An addition's job has begun; there was room for it. */
void run_add_job(struct run *run, struct addition *addition);

/** An addition's job has ended; it is freed. */
void run_free_job(struct run *run, struct addition *addition);

/** Whether the disk has too little room to begin with another one, and why. */
bool run_lacks_space(const struct run *run, char ret_reason[static SPACE_REASON_MAX]);

/** Whether the disk has too little room for an addition that is supplied, and so has a known size,
 * beside those that are begun, and why. If it has, the room counts as taken. */
bool run_lacks_room_for(struct run *run, struct addition *addition,
                        char ret_reason[static SPACE_REASON_MAX]);

/** How far the run is. How much there is to do is known when all variants are begun, and walked. */
struct pkgcache_progress run_sum_progress(const struct run *run);

/** Whether a job was stopped, and the room that it took is coming back. */
bool run_awaits_space(const struct run *run);

/** Stops a job when all of them together leave too little room; and those that outgrow what they
 * replace. */
void run_keep_space(struct run *run);

/**
 * Whether a copy that replaces a slot is much larger than that: a repair is to bring back what was
 * there, and a source (a FUSE file) may have no end.
 */
bool run_outgrows(const struct addition *addition, uint64_t bytes);

extern const char run_outgrown[]; /* why such a copy is none, for people */

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

/** Ends what is not under way, or has it end soon. */
void addition_cancel(struct addition *addition);

/** Looks the variant up. If the cache does not have it, has its root checked. */
void addition_prepare(struct addition *addition);

/** Takes the result of the root check: refuses what cannot be cached, queues the rest. */
void addition_take_root_check(struct addition *addition, struct root_check *check);

/**
 * Has the payload made by the manifest that was found for it; or says why it is walked although
 * there is one.
 *
 * @param check with what was found of the root; what of it is needed is taken over
 * @return      0 or -ENOMEM
 */
int addition_take_published(struct addition *addition, struct root_check *check);

/**
 * Whether a copy that failed is to be made once more, without the manifest; says so.
 *
 * @param code what it failed with, an errno value
 * @param why  the same for people
 */
bool addition_walks_instead(struct addition *addition, int code, const char *why);

/** The copy begins, which has the manifest from now on. */
void addition_begin_published(struct addition *addition);

/** The manifest is not needed any more, if there was one. */
void addition_forget_published(struct addition *addition);

/** Stages the sidecar. Those that are staged first are flushed together. @return 0 or -errno */
int addition_stage(struct addition *addition, bool durable);

/** Looks the variant up again, and judges a slot that another process fills. */
bool addition_check(struct addition *addition);

/** Takes away what is dead or damaged, and reserves a slot. */
bool addition_reserve(struct addition *addition, const struct lock *lock);

/** Makes the reservation last. Slow, without the lock. */
bool addition_sync_reservation(struct addition *addition);

/** Announces the slot, if nobody was faster. */
bool addition_announce(struct addition *addition, const struct lock *lock);

/** Has it copied, unless the tree is staged already, and can be placed. */
bool addition_copy(struct addition *addition, const struct lock *lock);

/** Hands the copy to the engine. @return 0 or -errno */
int addition_submit(struct addition *addition);

/** Closes the file that its manifest is written to. */
void addition_close_manifest(struct addition *addition);

/** Takes a copy that the engine has ended. With the lock, to give the slot up if it failed. */
bool addition_take_copy(struct addition *addition, const struct lock *lock);

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

/** Writes into the log that it is begun with; once, however often that is said. */
void addition_record_begin(struct addition *addition);

/** Counts what became of it, and writes that into the log. */
void addition_record_result(const struct addition *addition);

/** Ends an addition. @param format the reason, for people; NULL: there is nothing to say */
void addition_finish(struct addition *addition, enum pkgcache_status status, const char *format,
                     ...) PRINTF_LIKE(3, 4);
