/* The daemon: serves look-ups and warming to local programs, over a Unix socket (docs/daemon.md).
 */
#pragma once

#include "cache/service/upkeep_limits.h"

#define SERVICE_EVERYBODY "everybody"
#define SERVICE_OWNER     "owner"

struct service_options {
    const char *cache_path;        /* made if it is missing */
    struct pkgcache_options cache; /* strings are copied, as those of the next */
    struct pkgcache_options queue; /* with which rez's queue is served */
    struct upkeep_limits upkeep;
    const char *socket_path;  /* NULL: CACHE/.sys/daemon.sock */
    const char *clients;      /* "owner", "everybody", or a group */
    const char *repositories; /* that clients may have copied from who are neither root nor this
                                 user: a list with colons between them; "": all */
    const char *metrics_path; /* a file for Prometheus, written anew now and then; NULL: none */
    unsigned idle_exit_s;     /* end after so long without clients and work; 0: never */
    const char *version;      /* of the program, for ping */
    int signal_fd;            /* signalfd(2) with SIGTERM, SIGINT and SIGHUP */
    /* Clients are served from now on. */
    void (*on_ready)(void *context, const char *socket_path);
    /* SIGHUP: reads the settings again. Strings live until the next call. @return 0 or -errno:
       those that were read before stay */
    int (*on_reload)(void *context, struct pkgcache_options *ret_cache,
                     struct pkgcache_options *ret_queue, struct upkeep_limits *ret_upkeep,
                     struct pkgcache_error *ret_error);
    void *context;
};

/**
 * Serves until SIGTERM or SIGINT, method shutdown, idle_exit_s, or the end of the cache.
 *
 * @return 0; -EBUSY: another daemon serves the cache; -ESTALE: the cache is gone; or -errno
 */
int service_run(const struct service_options *options, struct pkgcache_error *ret_error);
