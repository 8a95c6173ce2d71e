/*
 * What starts a program on other machines: Slurm's srun, clush, pdsh, GNU parallel. A launcher says
 * which program with which arguments that is; how it is run, and what comes back, is common
 * (farm_child.h, farm_lines.h). The command on the nodes has fixed words: all that varies is in the
 * order, which is its standard input.
 */
#pragma once

#include "cache/util/error.h"

#include <stdbool.h>
#include <stddef.h>

/** Words of a command line. Starts as `struct farm_arguments arguments = {0};`. */
struct farm_arguments {
    char **items; /* ends with NULL */
    size_t count;
    size_t capacity; /* private */
    int error;       /* 0 or -ENOMEM: a word is missing */
};

/** Adds a word, which is copied. Failure is remembered. */
void farm_arguments_add(struct farm_arguments *arguments, const char *word);

/** Adds a word that is formatted as printf does. Failure is remembered. */
void farm_arguments_printf(struct farm_arguments *arguments, const char *format, ...)
    PRINTF_LIKE(2, 3);

void farm_arguments_free(struct farm_arguments *arguments);

#define CLEANUP_ARGUMENTS __attribute__((cleanup(farm_arguments_free)))

/** One start. All texts are checked (farm_names.h), but the order's path, which is ours. */
struct farm_launch {
    const char *const *nodes;
    size_t count;
    unsigned at_once;       /* at most so many of them at a time, where the launcher sees to that */
    const char *program;    /* pkgcache, at the same place on all nodes */
    const char *order_path; /* for launchers that hand no standard input on */
    const char *run;        /* the run's name */
    const char *partition;  /* Slurm's; NULL: the default */
    double time_limit_s;    /* from now; 0: none */
};

/** A way to start programs on nodes. */
struct farm_launcher {
    const char *name;
    size_t nodes_max; /* of one start */
    bool has_rounds;  /* whether somebody else decides when a node can be had */
    /* Appends the command line; its first word is the launcher's program, found in PATH. */
    void (*build)(const struct farm_launch *launch, struct farm_arguments *arguments);
    /* Appends what ends the jobs of a run, of which only the name, the nodes and their count are
     * read: those that have one of the nodes; all, where the count is 0. NULL: there are none,
     * ending the launcher ends all. */
    void (*build_cancel)(const struct farm_launch *launch, struct farm_arguments *arguments);
};

extern const struct farm_launcher farm_launcher_slurm;

/** The fixed words of the command on the nodes, behind the program: `preload --on-node`. */
void farm_arguments_add_command(struct farm_arguments *arguments, const char *program);

/** One word: the names of all nodes of a start behind a prefix, with commas between. */
void farm_arguments_add_nodes(struct farm_arguments *arguments, const char *prefix,
                              const struct farm_launch *launch);
