/*
 * Handles: what identifies a variant, and where that puts it in the cache. Only handles that rez
 * can read back exist here: one that it cannot breaks rez's list and clean for the whole cache.
 * Formats: docs of the protocol, "Words", "Hash directory". Not for finding out where a variant's
 * root is.
 */
#pragma once

#include "cache/json/json.h"
#include "cache/json/json_build.h"
#include "cache/util/sha1.h"

#define HANDLE_NO_VERSION "_NO_VERSION" /* stands for the version in paths when there is none */

enum {
    HANDLE_COMPONENT_MAX = 255, /* bytes of a name or a version: each is a directory's name */
    HANDLE_NO_INDEX = -1,       /* null: the package has no variants */
};

/** One variant, immutable. All strings belong to the handle and end in NUL. */
struct pkgcache_handle {
    const char *location;       /* the repository's path, absolute: bytes, for system calls */
    const char *location_text;  /* the same as Python holds it: undecodable bytes are U+DC80 to
                                   U+DCFF, three bytes each. This is what counts for equality */
    const char *name;           /* one path component, UTF-8 */
    const char *version;        /* one path component, UTF-8; NULL: none */
    int32_t index;              /* 0 to INT32_MAX, or HANDLE_NO_INDEX */
    const char *qualified_name; /* NAME-VERSION, or NAME: how files in .sys/ begin */
    const char *relative_path;  /* NAME/VERSION/HASH4: the hash directory, relative to the cache */
    const char *hash4;          /* 4 hexadecimal digits */
    unsigned char sha1[SHA1_BYTES]; /* what hash4 is the beginning of */
};

/**
 * Makes a handle of its parts.
 *
 * @param location   an absolute path, canonical as far as the caller cares, any bytes
 * @param name       UTF-8, one path component, not beginning with a dot
 * @param version    UTF-8, one path component that rez can parse; NULL, "" or "_NO_VERSION": none
 * @param index      0 to INT32_MAX, or HANDLE_NO_INDEX
 * @param ret_handle receives the handle; the caller frees it with handle_free()
 * @return           0; -EINVAL: not a handle that rez can read back (the message says why);
 * -ENOMEM; -ENOTSUP: OpenSSL has no SHA-1 (a policy of this machine)
 */
int handle_create(const char *location, const char *name, const char *version, int32_t index,
                  struct pkgcache_handle **ret_handle, struct pkgcache_error *error);

/**
 * Makes a handle of what rez writes: `{"key": "filesystem.variant", "variables": {"location": ...,
 * "name": ..., "version": ..., "index": ..., "repository_type": "filesystem"}}`, members in any
 * order. A version that is absent, "", false, null or "_NO_VERSION" is none, as rez has it.
 * Refused: another key, other members, a missing index (rez always writes one), an index that is
 * not a whole number (0, 0.0 and false are equal to Python, but hash differently).
 *
 * @param value      not needed afterwards; NULL: what should be a handle is missing
 * @param ret_handle receives the handle; the caller frees it with handle_free()
 * @return           0; -EINVAL: not a handle that rez can read back (the message says why);
 * -ENOMEM; -ENOTSUP as for handle_create()
 */
int handle_from_json(const struct json *value, struct pkgcache_handle **ret_handle,
                     struct pkgcache_error *error);

/**
 * Makes a handle of JSON text: json_parse(), then handle_from_json().
 *
 * @return 0; -EBADMSG: not JSON; -EINVAL: not a handle that rez can read back; -ENOMEM; -ENOTSUP
 */
int handle_parse(const char *text, size_t length, struct pkgcache_handle **ret_handle,
                 struct pkgcache_error *error);

/**
 * Whether a value is a handle that rez writes of another kind of variant: of a combined package, of
 * a memory repository, of what repository plugins add. Such have no payload in a directory of
 * their own.
 *
 * @param ret_name appended to: what the variant is called, for people; NULL: not wanted
 */
bool handle_json_is_foreign(const struct json *value, struct text *ret_name);

/**
 * Whether a handle, of whatever kind, has a version that rez cannot parse. With one in a cache rez
 * can neither list nor clean any of it.
 */
bool handle_json_breaks_rez(const struct json *value);

/** Makes an equal handle. @return as handle_create() */
int handle_copy(const struct pkgcache_handle *handle, struct pkgcache_handle **ret_handle);

/** Frees a handle; NULL is fine. */
void handle_free(struct pkgcache_handle *handle);

static inline void handle_cleanup(struct pkgcache_handle **handle)
{
    handle_free(*handle);
}

#define CLEANUP_HANDLE __attribute__((cleanup(handle_cleanup)))

/** An order of handles, as strcmp(3) has one of strings; 0: the same variant. */
int handle_compare(const struct pkgcache_handle *a, const struct pkgcache_handle *b);

/** Whether both are the same variant: rez's comparison of handles as dicts. */
bool handle_equal(const struct pkgcache_handle *a, const struct pkgcache_handle *b);

/** Whether handle_from_json() would make an equal handle of a value. Allocates nothing. */
bool handle_equals_json(const struct pkgcache_handle *handle, const struct json *value);

/** Appends the handle as rez writes it: json.dumps(handle), members in the order above. This is
 * also the whole contents of a pending file. */
void handle_to_json(struct text *text, const struct pkgcache_handle *handle);

/** Adds the handle, as that writes it, to what is built (json_build.h). */
void handle_add_json(cJSON *object, const char *name, const struct pkgcache_handle *handle);

/**
 * The hash of any handle that rez could write, also of kinds that handle_from_json() refuses: sha1
 * of Python's `str((key, tuple(sorted(variables.items()))))`. The version is taken as it stands:
 * rez deletes an empty one before.
 *
 * @param value    an object with a "key" and an object "variables"
 * @param ret_sha1 receives 40 hexadecimal digits, lower case
 * @param ret_path appended to: NAME/VERSION/HASH4, with the strings as they stand (not checked: not
 *                 for system calls); NULL: not wanted
 * @return         0; -EINVAL: no such object, or no string for a name; -ENOMEM;
 *                 -ENOTSUP as for handle_create()
 */
int handle_hash_json(const struct json *value, char ret_sha1[SHA1_HEX_SIZE], struct text *ret_path);

/** Appends the repr that handle_hash_json() hashes. Returns 0, or -EINVAL, or -ENOMEM. */
int handle_repr_json(struct text *text, const struct json *value);
