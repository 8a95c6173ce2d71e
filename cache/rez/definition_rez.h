/* Asking rez what definitions say that are more than literals. */
#pragma once

#include "cache/json/json.h"

/**
 * Asks rez, once for all.
 *
 * @param directories  of definitions
 * @param ret_first    the first of as many answers: an object with `attributes`, an object; or
 * `error`, a string
 * @param ret_document owns the answers; the caller frees it with json_document_free
 * @return             as of rezpython_run
 */
int definition_ask_rez(const char *const *directories, size_t count, const struct json **ret_first,
                       struct json_document **ret_document, struct pkgcache_error *ret_error);
