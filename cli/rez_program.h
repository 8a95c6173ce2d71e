/* rez-pkg-cache: what its parts share. */
#pragma once

#include "cache/rez/settings.h"
#include "cache/rez/sources.h"
#include "cache/store/log.h"
#include "cli/rez_arguments.h"

struct rez_program {
    struct rez_arguments arguments;
    struct settings settings;
    struct rezconfig *config; /* the settings' */
    const char *directory;    /* of the cache, as it was named; the settings' */
    struct sources sources;   /* of variants, one after the other */
    struct pkgcache *cache;
    bool told_problems; /* of our settings, to the cache's log */
};

/** Reads the settings, and finds out which cache is meant. @return an exit code, or -1: go on */
int rez_read_settings(struct rez_program *program);

/** Opens the cache. @return an exit code, or -1: go on */
int rez_open_cache(struct rez_program *program);

/** Ends the use of all that. */
void rez_close(struct rez_program *program);

/**
 * Cleans the cache.
 *
 * @param time_limit_s 0: none
 * @return             0 or -errno
 */
int rez_clean(struct rez_program *program, double time_limit_s, struct pkgcache_error *ret_error);

/** The commands. @return an exit code */
int rez_add(struct rez_program *program);
int rez_remove(struct rez_program *program);
int rez_list(struct rez_program *program);
int rez_logs(struct rez_program *program);

/** Serves the queue in the background; reads the settings only if there is something to do. */
int rez_daemon(struct rez_program *program);

/** A path in the cache as rez prints it: below the directory as it was named. @return allocated */
char *rez_path(const struct rez_program *program, const char *path);
