/* Comparing two manifests: what a tree shall be, and what it is. */
#pragma once

#include "cache/pkgcache.h"

struct comparison {
    void (*on_difference)(void *context, enum pkgcache_difference kind, const char *path);
    void *context;
    uint64_t differences; /* counted */
    uint64_t denied;      /* of these, what this user may not read */
    uint64_t missing;     /* of these, what is not there, or below what cannot be read */
    uint64_t undigested;  /* files whose digest only the second manifest has */
};

/**
 * Compares. Memory is bounded (20 MB), however large the manifests are.
 *
 * @param shall_fd, shall_offset where the manifest begins that says what shall be
 * @param is_fd, is_offset       and the one, of a scan, that says what is
 * @return                       0; -EBADMSG: the first manifest is none, or cut off, or of another
 *                               version than the second; nothing was reported then; -EIO: the
 *                               second is none, or cut off; -ENOMEM; or what read says
 */
int comparison_run(struct comparison *comparison, int shall_fd, uint64_t shall_offset, int is_fd,
                   uint64_t is_offset);
