/*
 * Hosts without Slurm: a file names them, and a launcher reaches them through ssh. Whom ssh
 * reaches, how and as whom is its own configuration's business.
 */
#pragma once

#include "cache/preload/farm_launcher.h"
#include "cache/preload/farm_names.h"

/** clush of ClusterShell, pdsh, GNU parallel: at most `at_once` hosts at a time, all in one start.
 */
extern const struct farm_launcher farm_launcher_clush;
extern const struct farm_launcher farm_launcher_pdsh;
extern const struct farm_launcher farm_launcher_parallel;

/** Refuses a launcher that is not in PATH. @return 0 or -ENOENT */
int farm_hosts_check_launcher(const char *name, struct pkgcache_error *ret_error);

/**
 * Reads a file of hosts: a name a line; what begins with `#` is a comment, empty lines count
 * nothing, and a host that is there twice counts once.
 *
 * @param ret   freed with farm_names_free, also after an error
 * @return      0; -EINVAL: a line is no name of a host, and the message says which; -ENODATA: there
 *              is none; -E2BIG: there are too many; or what reading said
 */
int farm_hosts_read(const char *path, struct farm_names *ret, struct pkgcache_error *ret_error);

/** The same for a text that was read; `path` is for messages. */
int farm_hosts_parse(const char *path, const char *text, size_t length, struct farm_names *ret,
                     struct pkgcache_error *ret_error);
