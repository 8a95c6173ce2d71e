/*
 * A manifest: what is in a tree, one record for each file, directory and link, streamed to a file.
 *
 *     pkgcache-manifest 2 NUL
 *     TYPE MODE SIZE MTIME DIGEST PATH NUL      for each, in no order
 *     end COUNT NUL
 *
 * TYPE is f, d or l, or o for what is neither (only a scan meets such); MODE octal permission bits;
 * SIZE in bytes, of a link its target's length, 0 for directories; MTIME seconds.nanoseconds since
 * the epoch; DIGEST that of the contents in hexadecimal (engine/digest.h), of a link the XXH3-128
 * of its target, or - when the bytes did not pass through memory: such a file is to be digested
 * later; or, in a scan, ! and the errno value of why it could not be read. One space between them;
 * PATH, relative to the root, is all that is left, "." for the root. The last record shows that
 * nothing is missing.
 *
 * In version 1, all digests are XXH3-128, also of files that have blocks of zeros.
 */
#pragma once

#include "engine/file.h"

struct manifest;

enum {
    MANIFEST_VERSION = 2,
    MANIFEST_FIELDS_BYTES = 160, /* of a record, but for the path; with a NUL */
};

/** A record, but for the path. */
struct manifest_fields {
    char type;
    mode_t mode; /* permission bits */
    uint64_t size;
    struct timespec mtime;
    const XXH128_hash_t *digest; /* NULL: none */
    int error;                   /* why it could not be read; 0: nothing */
};

/** Writes the fields as a record has them, up to the path. @return how many bytes, without a NUL */
size_t manifest_format_fields(const struct manifest_fields *fields,
                              char ret[static MANIFEST_FIELDS_BYTES]);

/** Writes a digest as records have it: in its canonical form (xxhash.h), with a NUL. */
void manifest_format_digest(XXH128_hash_t digest, char ret[static 2 * sizeof(XXH128_hash_t) + 1]);

/**
 * @param fd  stays the caller's; written to from its position on
 * @param ret freed with manifest_free
 * @return    0, -ENOMEM, -EMFILE, -EBADF
 */
int manifest_new(int fd, struct manifest **ret);

/** Begins anew, before anything is added, as this version. */
void manifest_begin(struct manifest *manifest, unsigned version);

void manifest_add_file(struct manifest *manifest, const struct file *file);
void manifest_add_directory(struct manifest *manifest, const struct directory *directory);
void manifest_add_symlink(struct manifest *manifest, const struct directory *directory,
                          const char *name, const char *target, struct timespec mtime);

/**
 * Adds what is no file, directory or link, or cannot be read.
 *
 * @param name NULL: the directory itself
 * @param type as in a record
 * @param code why it cannot be read, an errno value, positive; 0: nothing is wrong with it
 */
void manifest_add_other(struct manifest *manifest, const struct directory *directory,
                        const char *name, char type, int code);

/** Writes the last record. @return 0 or -errno, also of what could not be written before */
int manifest_end(struct manifest *manifest);

void manifest_free(struct manifest *manifest);
