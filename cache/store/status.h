/* Statuses, as the calls of pkgcache.h give them. */
#pragma once

#include "cache/pkgcache.h"

/**
 * Turns a status into the answer of a call.
 *
 * @param status     or -errno
 * @param success    the status of which the answer is 1
 * @param ret_status may be NULL; receives the status, FAILED for an -errno
 * @return           1: it is `success`; 0: it is another; or the -errno
 */
int status_answer(int status, enum pkgcache_status success, enum pkgcache_status *ret_status);
