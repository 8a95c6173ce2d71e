/*
 * A directory whose publisher wrote down what is in it (cache/published/published.h) as what brings
 * a payload: it is not walked, and only those of its files are read that no donor has.
 */
#pragma once

#include "cache/published/published.h"
#include "cache/warm/supply.h"

/** What is known of a payload at its source. */
struct published_payload {
    const struct pkgcache_handle *handle; /* copied */
    const char *root;                     /* copied */
    bool waits;                           /* it may wait for a server */
    dev_t device;                         /* which directory it is */
    ino_t inode;
    int root_fd;                 /* taken over, also on failure; -1: opened when the copy begins */
    struct published *published; /* likewise; NULL */
    bool keeps_links;            /* links lead to the same places (COPYENGINE_SYMLINKS_KEEP) */
};

/**
 * Makes what brings a payload.
 *
 * @param ret released through its kind
 * @return    0 or -ENOMEM
 */
int published_supply_new(const struct published_payload *payload, struct warm_supply **ret);

/**
 * Whether a copy that failed may succeed when the source is walked: what was fetched is not what
 * the manifest says, or not there, or the manifest is none any more.
 *
 * @param code errno value
 */
bool published_supply_is_wrong(int code);
