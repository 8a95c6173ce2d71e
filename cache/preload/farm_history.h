/*
 * What has happened in a run so far: its plan, what the journal says, and what the nodes have
 * reported. Made of the files of its directory alone, by the coordinator as by whoever follows: a
 * coordinator that takes over from one that was killed knows what that knew.
 */
#pragma once

#include "cache/preload/farm_directory.h"
#include "cache/preload/farm_line.h"
#include "cache/preload/farm_order.h"
#include "cache/preload/farm_plan.h"
#include "cache/preload/farm_run.h"

/** What a node has said in one attempt. */
struct farm_report {
    size_t node; /* its place in the run */
    uint64_t lines;
    uint64_t parts; /* of a pack that have arrived whole */
    uint64_t bad;   /* that have arrived with other bytes */
    uint64_t job;   /* Slurm's numbers */
    uint64_t job_step;
    bool has_begun;
    bool is_ready;  /* parts can be cast to it */
    bool has_ended; /* and each of its lines has arrived */
};

/** One start of a launcher. */
struct farm_attempt {
    unsigned number;
    enum farm_step step;
    struct farm_report *reports; /* one for each of its nodes, in their order */
    size_t count;
    bool has_ended;
    bool is_ours; /* this process has started it */
    /* private: how far its output was read, and whether what comes next belongs to a line that is
       too long */
    off_t offset;
    bool is_skipping;
    pid_t pid;           /* the coordinator's: the launcher; 0: another process started it */
    unsigned floods;     /* the coordinator's: how often its job was ended, since the launcher wrote
                            beyond all reason; 0: it has not */
    bool flood_is_ended; /* the coordinator's: that has worked */
};

/** Starts as `struct farm_history history = {0};`. */
struct farm_history {
    struct farm_plan plan;
    struct farm_run run;
    struct farm_attempt *attempts;
    size_t attempt_count;
    size_t attempt_capacity; /* private */
    bool *lacks;             /* of each variant: some node has said that it lacks it */
    off_t journal_offset;    /* private */
};

/** Reads the plan; nothing has happened yet. @return 0 or -errno */
int farm_history_open(const struct farm_directory *directory, struct farm_history *ret,
                      struct pkgcache_error *ret_error);

/** Reads what has happened since the last call. @return 0 or -errno */
int farm_history_read(const struct farm_directory *directory, struct farm_history *history,
                      struct pkgcache_error *ret_error);

/** The names of an attempt's files. @param ending "out" or "err" */
void farm_attempt_name(const struct farm_attempt *attempt, const char *ending, char ret[static 32]);

void farm_history_free(struct farm_history *history);

#define CLEANUP_HISTORY __attribute__((cleanup(farm_history_free)))

/** Events, for the journal: what farm_history_read understands. */
cJSON *farm_event_begin(double at_s);
cJSON *farm_event_phase(const char *name, double at_s);
cJSON *farm_event_fanout(const char *fanout, const char *why);
cJSON *farm_event_attempt(unsigned number, enum farm_step step, const char *const *nodes,
                          size_t count, double at_s);
/** @param nodes receives farm_event_add_silent's */
cJSON *farm_event_attempt_end(unsigned number, double at_s, cJSON **ret_nodes);
/** A node that did not report. @param again it waits to be tried again */
void farm_event_add_silent(cJSON *nodes, const char *name, const char *why, bool again);
/** A node that is given up, or (failed false) waits. */
cJSON *farm_event_node(const char *name, const char *why, bool failed);
cJSON *farm_event_end(int exit_code, double at_s);

/** Unix time. */
double farm_now_s(void);
