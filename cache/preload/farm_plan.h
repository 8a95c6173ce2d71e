/*
 * What a run is to do: all that the command line said, and what its sources came to. Written once,
 * as run.json in the run's directory, so that --resume and --follow need nothing else. The order
 * that the nodes get is beside it (farm_order.h).
 */
#pragma once

#include "cache/json/json.h"
#include "cache/preload/farm_names.h"

#include <stdbool.h>

/** A variant that no node can get. */
struct farm_refusal {
    char *variant;
    char *why;
};

/** Starts as `struct farm_plan plan = {0};`. Texts that are not there are NULL. */
struct farm_plan {
    char *id;
    char *launcher;
    char *fanout; /* as asked for */
    char *cache;
    char *program;
    char *partition;
    char *report; /* absolute */
    bool is_dry;  /* look only */
    unsigned at_once;
    unsigned level;      /* of compression, of the pack that is made; 0: the default */
    double time_limit_s; /* 0: none */
    struct farm_names nodes;
    char **variants; /* what each is called */
    size_t variant_count;
    size_t variant_capacity; /* private */
    struct farm_refusal *refusals;
    size_t refusal_count;
    size_t refusal_capacity; /* private */
};

/** Adds what a variant is called. @return 0 or -ENOMEM */
int farm_plan_add_variant(struct farm_plan *plan, const char *text);

/** Adds a variant that no node can get. @return 0 or -ENOMEM */
int farm_plan_add_refusal(struct farm_plan *plan, const char *text, const char *why);

/** Makes a run's name: its time, and something random. @return allocated; NULL: no memory */
char *farm_plan_make_id(void);

/** The plan as JSON. @param text appended to; failure is remembered in it */
void farm_plan_print(struct text *text, const struct farm_plan *plan);

/** Reads what farm_plan_print printed. @return 0; -EBADMSG: it is none; -ENOMEM */
int farm_plan_read(const struct json *root, struct farm_plan *ret,
                   struct pkgcache_error *ret_error);

void farm_plan_free(struct farm_plan *plan);

#define CLEANUP_PLAN __attribute__((cleanup(farm_plan_free)))
