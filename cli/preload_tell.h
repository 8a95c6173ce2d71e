/* The part of preload on a node: what it knows, and its report, line by line. */
#pragma once

#include "cache/preload/farm_line.h"
#include "cache/preload/farm_order.h"
#include "cli/options.h"

/* why a node has not done everything, after SIGTERM or SIGINT */
#define PRELOAD_STOPPED "stopped by a signal: its job was cancelled, or reached its time limit"

struct preload_node {
    char name[FARM_NAME_MAX + 1];
    struct farm_order order;
    struct sources sources;
    struct settings settings;                 /* this host's, with what the order says */
    struct pkgcache *cache;                   /* NULL: there is none yet */
    bool *told;                               /* of each variant: its line is printed */
    const struct source_additions *additions; /* while they are warmed */
    uint64_t lines;
    uint64_t begin_ns;
};

/** Prints a line of the report. */
void preload_tell(struct preload_node *node, struct farm_line *line);

/** Prints what became of a variant, once. @param result NULL: nothing more is known */
void preload_tell_variant(struct preload_node *node, size_t variant, enum farm_line_status status,
                          bool is_packed, const struct pkgcache_result *result);

/** Prints the end of the report. @param error NULL: none @return an exit code */
int preload_tell_end(struct preload_node *node, const char *error);
