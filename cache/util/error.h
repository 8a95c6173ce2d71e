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

/**
 * Says that a struct of the caller's cannot be used: its size is 0, or it has members that this
 * library does not know.
 *
 * @param call what was called, to be put before the text
 * @param type the struct's name
 * @return     -EINVAL
 */
int error_struct_size(struct pkgcache_error *error, const char *call, const char *type);

/** @return an error in words, as strerror(3); EXDEV is what is mounted in a cache (names.h) */
const char *error_text(int code);

/** @return what to do about an error, to be put behind its text: "" or "; ..." */
const char *error_advice(int code);
