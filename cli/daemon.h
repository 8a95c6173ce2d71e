/* How commands use the daemon: --daemon=auto, never or require. */
#pragma once

#include "cache/pkgcache_client.h"
#include "cli/options.h"

/**
 * Connects to the daemon of the settings' cache, if it is to be used.
 *
 * @param ret NULL: the command does its work itself; else ended with pkgcache_client_close
 * @return    an exit code to end with, or -1: go on
 */
int daemon_connect(const struct options *options, struct pkgcache_client **ret);

/** Whether a command must not do its work itself. */
bool daemon_is_required(const struct options *options);

/**
 * Whether a command does itself what the daemon could not be asked for: it was busy, has gone, does
 * not do that for this user, or the answer is too long for it. Not with --daemon=require.
 *
 * @param result what a call of the client returned
 */
bool daemon_is_passed_over(const struct options *options, int result);

/** Has the cache's daemon stop, and waits until it has. @return an exit code */
int daemon_stop(const struct options *options);
