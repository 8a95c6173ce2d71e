/* Asking rez what definitions say that are more than literals. */
#pragma once

#include "cache/json.h"

/**
 * Asks rez, once for all.
 *
 * @param directories  of definitions
 * @param ret_answers  an array with an object for each: `attributes`, an object; or `error`, a
 * string
 * @param ret_document owns the answers; the caller frees it with json_document_free
 * @return             as of rezpython_run
 */
int definition_ask_rez(const char *const *directories, size_t count,
                       const struct json **ret_answers, struct json_document **ret_document,
                       struct pkgcache_error *ret_error);
