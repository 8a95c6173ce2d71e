/* Asking rez what definitions say that are more than literals. */
#pragma once

#include "cache/json/json.h"

/** A definition that rez is asked about. */
struct definition_question {
    const char *path;      /* of the file */
    const char *directory; /* of the package: LOCATION/NAME/VERSION, or LOCATION/NAME */
    bool unversioned;      /* LOCATION/NAME */
    const char *context;   /* a context's file that has the package in it; NULL: none */
};

/**
 * Asks rez, once for all.
 *
 * @param ret_first    the first of as many answers: an object with `attributes`, an object; or
 *                     `error`, a string
 * @param ret_document owns the answers; the caller frees it with json_document_free
 * @return             as of rezpython_run
 */
int definition_ask_rez(const struct definition_question *questions, size_t count,
                       const struct json **ret_first, struct json_document **ret_document,
                       struct pkgcache_error *ret_error);
