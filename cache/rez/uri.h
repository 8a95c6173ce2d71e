/*
 * rez's URIs of variants: `DEFINITION_PATH[INDEX]`, as /svr/packages/foo/1.0/package.py[0]. Between
 * them and handles; nothing is looked up in a repository. Not for URIs of RFC 3986.
 */
#pragma once

#include "cache/store/handle.h"

enum { URI_BYTES_MAX = 8192 };

/** A URI's parts. Starts as `struct uri uri = {0};`. */
struct uri {
    char *directory; /* what the definition is in: one slash between names, no "." */
    int32_t index;   /* or HANDLE_NO_INDEX */
};

/** Whether a text that may also be a file's path is meant as a URI. */
bool uri_is_meant(const char *text);

/**
 * Takes a URI apart.
 *
 * @param ret freed with uri_free
 * @return    0; -EINVAL: none, or not of an absolute path (the message says why); -ENOTSUP: that of
 *            a combined package (`foo.yaml<1.0>[0]`), which has no root; -ENOMEM
 */
int uri_parse(const char *text, struct uri *ret, struct pkgcache_error *ret_error);

void uri_free(struct uri *uri);

#define CLEANUP_URI __attribute__((cleanup(uri_free)))

/** Appends the URI of a handle. @param file its definition is called so: "package.py" */
void uri_append(struct text *text, const struct pkgcache_handle *handle, const char *file);
