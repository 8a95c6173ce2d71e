/*
 * Sidecars: the file INC.json beside a payload, which says whose it is. Format: the protocol,
 * "Sidecar"; ours has one more top-level member, which rez ignores: `"pkgcache": {"root": ...}`,
 * the directory that the payload was copied from. Not for claiming or publishing slots.
 */
#pragma once

#include "cache/store/handle.h"

enum { SIDECAR_MAX_BYTES = 1024 * 1024 };

/** What a sidecar holds. Starts as SIDECAR_INIT. */
struct sidecar {
    struct pkgcache_handle *handle; /* owned */
    char *root;                     /* owned: an absolute path, bytes; NULL: not known */
    int fd;                         /* owned: the open file, for futimens; -1: parsed from text */
};

#define SIDECAR_INIT ((struct sidecar){.fd = -1})

/**
 * Appends a sidecar's text, as json.dumps writes it, without a final newline.
 *
 * @param root the source directory, bytes; NULL: not known
 * @param data rez's debugging information, written as it is; NULL: none
 */
void sidecar_write(struct text *text, const struct pkgcache_handle *handle, const char *root,
                   const struct json *data);

/**
 * Reads a sidecar's text. Only the handle has to be right: a "pkgcache" member that is not ours to
 * the letter counts as no root.
 *
 * @param ret_sidecar receives the contents, with fd -1; the caller clears it with sidecar_clear();
 *                    untouched on failure
 * @return            0; -EBADMSG: damaged: empty, cut off, not JSON, no handle in it; -EINVAL:
 * sound, but with a handle that rez cannot read back as a variant (somebody else's: not for
 * repair); -ENOMEM. The message says why
 */
int sidecar_parse(const char *text, size_t length, struct sidecar *ret_sidecar,
                  struct pkgcache_error *error);

/**
 * Reads a sidecar where it is: no link is followed, no fifo waited for.
 *
 * @param dirfd       the hash directory
 * @param name        INC.json
 * @param ret_sidecar as for sidecar_parse(), with the file's descriptor
 * @return            as for sidecar_parse(); -EBADMSG also when it is no regular file or larger
 * than SIDECAR_MAX_BYTES; else what open and read say (-ENOENT: it is gone). The message names the
 * file
 */
int sidecar_read(int dirfd, const char *name, struct sidecar *ret_sidecar,
                 struct pkgcache_error *error);

/**
 * Whether the payload beside a sidecar is the handle's. Allocates nothing for a sidecar of usual
 * size; says no of what sidecar_read() cannot read. That it is a regular file is left to fstat.
 *
 * @param ret_fd receives the open sidecar if it is; the caller closes it
 */
bool sidecar_holds(int dirfd, const char *name, const struct pkgcache_handle *handle, int *ret_fd);

/** How sidecars are opened to be looked at: no link is followed, no fifo waited for. */
#define SIDECAR_OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/**
 * The same for an open sidecar, in one look: no is also the answer to one that is too large for
 * that, or that came in pieces.
 */
bool sidecar_file_holds(int fd, const struct pkgcache_handle *handle);

/** Frees what a sidecar owns, and makes it SIDECAR_INIT. */
void sidecar_clear(struct sidecar *sidecar);

#define CLEANUP_SIDECAR __attribute__((cleanup(sidecar_clear)))
