/* The numbers of published manifests (docs/manifests.md). */
#pragma once

#define PUBLISHED_DIRECTORY ".pkgcache/manifests" /* in a repository */

enum {
    PUBLISHED_VERSION = 1,
    PUBLISHED_ENTRIES_MAX = 1 << 22, /* of a variant; with more it has no manifest */
    PUBLISHED_BYTES_MAX = 1 << 30,   /* of all its records, uncompressed */
    PUBLISHED_HEAD_MAX = 64 << 10,   /* bytes of the head */
    PUBLISHED_HEAD_BLOCK = 512,      /* zeros fill the head up to a multiple of this */
    PUBLISHED_DEFINITIONS_MAX = 16,
};
