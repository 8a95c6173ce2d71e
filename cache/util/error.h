/* Filling in the public error structure. */
#pragma once

#include "cache/pkgcache.h"
#include "engine/compiler.h"

/**
 * Records why a call failed.
 *
 * @param error  filled in; NULL: nobody wants to know
 * @param code   an errno value, positive
 * @param format WHAT: WHY, and what to do about it; no final newline
 * @return       -code, so that callers can return it
 */
int error_set(struct pkgcache_error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/** @return what to do about an error, to be put behind its text: "" or "; ..." */
const char *error_advice(int code);
