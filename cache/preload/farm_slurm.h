/*
 * Slurm: which nodes there are, and what srun is told. Its own programs are asked (sinfo, scontrol,
 * srun, scancel), since its library changes with each version. What was tried, and where a good
 * guess is wrong, stands beside each word of the command line.
 */
#pragma once

#include "cache/preload/farm_launcher.h"
#include "cache/preload/farm_names.h"

#include <stdbool.h>

/** A node as sinfo sees it now. */
struct farm_slurm_node {
    char *name;
    char *state;  /* as sinfo says: "idle", "drained", "down*", … */
    bool is_free; /* a job can begin there now */
};

/** Nodes, sorted as names are. Starts as `struct farm_slurm_nodes nodes = {0};`. */
struct farm_slurm_nodes {
    struct farm_slurm_node *items;
    size_t count;
    size_t capacity; /* private */
};

/**
 * Asks which nodes there are, and how they are.
 *
 * @param partition checked; NULL: the default one, or with `nodes` any
 * @param nodes     an expression, checked; NULL: all of the partition
 * @param ret       freed with farm_slurm_nodes_free; without those that do not exist
 * @return          0; -ENOENT: sinfo is not there; -EIO: it failed, and the message has its reason;
 *                  -EBADMSG: it printed something else than nodes
 */
int farm_slurm_ask(const char *partition, const char *nodes, struct farm_slurm_nodes *ret,
                   struct pkgcache_error *ret_error);

/**
 * Finds the nodes that an expression means, whether they exist or not.
 *
 * @param expression checked
 * @return           as farm_slurm_ask
 */
int farm_slurm_expand(const char *expression, struct farm_names *ret,
                      struct pkgcache_error *ret_error);

/** A node by its name; NULL: it is not there. */
const struct farm_slurm_node *farm_slurm_find(const struct farm_slurm_nodes *nodes,
                                              const char *name);

void farm_slurm_nodes_free(struct farm_slurm_nodes *nodes);

#define CLEANUP_SLURM_NODES __attribute__((cleanup(farm_slurm_nodes_free)))

/** Whether what srun said on standard error means that the nodes were taken by somebody else
 * meanwhile, so that it may be tried again later. */
bool farm_slurm_is_busy(const char *errors);

/** Parses what sinfo printed, "NODE|STATE|PARTITION" a line; for tests. @return as farm_slurm_ask
 */
int farm_slurm_parse(const char *text, bool default_partition, struct farm_slurm_nodes *ret,
                     struct pkgcache_error *ret_error);
