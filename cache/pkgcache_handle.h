/*
 * libpkgcache: handles, which identify variants, and what all of the library's headers share.
 * pkgcache.h includes this.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PKGCACHE_PUBLIC __attribute__((visibility("default")))
/* Not NULL: these parameters, counted from 1. All others that are pointers may be. */
#define PKGCACHE_NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define PKGCACHE_CHECKED      __attribute__((warn_unused_result))

/** Why a call failed, for people: what failed, why, and what to do about it. Never grows. */
struct pkgcache_error {
    int code; /* an errno value, positive; 0 when nothing failed */
    char message[1024];
};

struct pkgcache_handle;

/**
 * Makes a handle of its parts. A handle identifies a variant.
 *
 * @param location the repository's directory: an absolute path, as rez has it (links resolved)
 * @param name     of the package, UTF-8
 * @param version  UTF-8; NULL: the package has none
 * @param index    of the variant, from 0; -1: the package has no variants
 * @param ret      the handle; the caller frees it with pkgcache_handle_free
 * @return         0; -EINVAL: rez could not read it back; -ENOMEM; -ENOTSUP: this machine's
 *                 OpenSSL has no SHA-1
 */
PKGCACHE_PUBLIC int pkgcache_handle_new(const char *location, const char *name, const char *version,
                                        int32_t index, struct pkgcache_handle **ret,
                                        struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 5) PKGCACHE_CHECKED;

/**
 * Makes a handle of JSON as rez writes it: {"key": "filesystem.variant", "variables": {"location",
 * "name", "version", "index", "repository_type"}}.
 *
 * @param length of `text` in bytes; no NUL is needed
 * @param ret    the handle; the caller frees it with pkgcache_handle_free
 * @return       0; -EBADMSG: it is not JSON; -EINVAL: rez could not read it back; -ENOMEM, -ENOTSUP
 */
PKGCACHE_PUBLIC int pkgcache_handle_parse(const char *text, size_t length,
                                          struct pkgcache_handle **ret,
                                          struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 3) PKGCACHE_CHECKED;

/** Frees a handle. NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_handle_free(struct pkgcache_handle *handle);

/** @return NAME-VERSION, or NAME; belongs to the handle */
PKGCACHE_PUBLIC const char *pkgcache_handle_name(const struct pkgcache_handle *handle)
    PKGCACHE_NONNULL(1);

/**
 * @return the handle as JSON, which pkgcache_handle_parse reads; the caller frees it with free(3);
 *         NULL: out of memory
 */
PKGCACHE_PUBLIC char *pkgcache_handle_json(const struct pkgcache_handle *handle)
    PKGCACHE_NONNULL(1) PKGCACHE_CHECKED;

/** Whether both identify the same variant. */
PKGCACHE_PUBLIC bool pkgcache_handle_equal(const struct pkgcache_handle *a,
                                           const struct pkgcache_handle *b) PKGCACHE_NONNULL(1, 2);

#ifdef __cplusplus
}
#endif
