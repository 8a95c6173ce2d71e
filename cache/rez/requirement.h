/*
 * rez's requirements (`foo-1.2+<3`), as rez prints them back after reading them, and what follows
 * from that: where in its package a variant is. Rules: rez's src/rez/version/. Not for resolving.
 */
#pragma once

#include "cache/json/json.h"

enum {
    REQUIREMENT_BYTES_MAX = 64 * 1024,
    REQUIREMENT_DIGITS_MAX = 4300, /* of a number in a version: Python's int() takes no more */
};

/**
 * Appends a requirement as rez prints it: ranges united, in order, in their shortest form.
 *
 * @param bytes need not end in NUL
 * @param text  as it was on failure
 * @return      0; -EINVAL: rez refuses it (the message says why), or it is beyond the limits above;
 *              -ENOMEM
 */
int requirement_normalise(struct text *text, const char *bytes, size_t length,
                          struct pkgcache_error *ret_error);

/**
 * Appends where a variant is, relative to its package: its requirements joined with `/`, or one
 * name, the hash of their list.
 *
 * @param requires a list of strings, raw: one of a definition's `variants`
 * @param hashed   the definition's `hashed_variants`
 * @return         0; -EINVAL: no such list, a requirement that rez refuses, or an empty list that
 *                 is not hashed (rez fails, too); -ENOMEM; -ENOTSUP: OpenSSL has no SHA-1
 */
int requirement_subpath(struct text *text, const struct json *requires, bool hashed,
                        struct pkgcache_error *ret_error);
