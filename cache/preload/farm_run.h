/*
 * The facts of a run: which nodes, what became of each, when. The coordinator keeps them; a table,
 * a document and a page are made of them. Texts in them come from other machines: any bytes.
 */
#pragma once

#include "cache/preload/farm_names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    FARM_PHASES = 64, /* of a run, those of each --resume included; later ones are not told */
    FARM_FAILURES_MAX = 10000, /* likewise */
    FARM_EXIT_DONE = 0,
    FARM_EXIT_FAILED = 1,
    FARM_EXIT_PARTLY = 4,
    FARM_EXIT_CANCELLED = 130,
};

#define FARM_NO_NODE SIZE_MAX

enum farm_state { FARM_WAITING, FARM_RUNNING, FARM_DONE, FARM_FAILED };

struct farm_node {
    char *name;
    enum farm_state state;
    size_t done; /* variants that it has: found and created */
    size_t found;
    size_t created;
    size_t failed;
    uint64_t files; /* created, as are the bytes */
    uint64_t bytes;
    uint64_t source_bytes; /* of these, read from where the packages are */
    uint64_t pack_bytes;   /* of these, read from a pack */
    double begin_s;        /* Unix time of its last attempt; 0: there was none */
    double end_s;          /* 0: it is under way */
    double seconds;        /* that its own work took */
    unsigned attempts;
    bool has_looked; /* it has said what it lacks */
    bool sees_share; /* and that the run's directory is there */
    char *why;       /* it failed, or is not taken yet; NULL: nothing to say */
};

struct farm_phase {
    const char *name; /* "resolve", "look", "pack", "spread", "warm" */
    double begin_s;   /* Unix time */
    double end_s;     /* 0: it is under way */
};

/** A variant that is not where it should be. */
struct farm_failure {
    size_t node;   /* FARM_NO_NODE: on all of them, since its source was not found */
    char *variant; /* what it is called */
    char *why;
};

/** Starts as `struct farm_run run = {0};`. */
struct farm_run {
    char *id;
    char *launcher; /* "slurm", "clush", … */
    char *fanout_asked;
    char *fanout; /* NULL: not chosen yet */
    char *fanout_why;
    char *cache; /* on the nodes; NULL: each has a setting of its own */
    size_t variants;
    double begin_s;
    double end_s;  /* 0: it is under way, or was killed */
    int exit_code; /* once it has ended */
    struct farm_node *nodes;
    size_t node_count;
    struct farm_phase phases[FARM_PHASES];
    size_t phase_count;
    struct farm_failure *failures;
    size_t failure_count;
    size_t failure_capacity; /* private */
};

/** What a state is called: "waiting", "running", "done", "failed". Static. */
const char *farm_state_name(enum farm_state state);

/** Makes the nodes, all of them waiting. @param names sorted @return 0 or -ENOMEM */
int farm_run_set_nodes(struct farm_run *run, const struct farm_names *names);

/** A node by its name; NULL: there is none. */
struct farm_node *farm_run_find(const struct farm_run *run, const char *name, size_t length);

/** Why a node failed, or waits. @param why copied; NULL: nothing to say. @return 0 or -ENOMEM */
int farm_node_set_why(struct farm_node *node, const char *why);

/** Notes a variant that failed; more than FARM_FAILURES_MAX are not noted. @return 0 or -ENOMEM */
int farm_run_add_failure(struct farm_run *run, size_t node, const char *variant, const char *why);

/** Forgets what failed on a node, before it is tried again. */
void farm_run_drop_failures(struct farm_run *run, size_t node);

/** Begins a phase, and ends the one before. @param name static; NULL: none begins */
void farm_run_begin_phase(struct farm_run *run, const char *name, double at_s);

/** What the run ends with: FARM_EXIT_DONE when each node has everything; FARM_EXIT_FAILED when none
 * has anything. */
int farm_run_exit_code(const struct farm_run *run);

/**
 * Prints the facts as one JSON document, which docs/farm.md describes.
 *
 * @return 0; -ENOMEM; or what writing said
 */
int farm_run_write(FILE *file, const struct farm_run *run);

void farm_run_free(struct farm_run *run);

#define CLEANUP_RUN __attribute__((cleanup(farm_run_free)))
