/*
 * Room on the file system of a cache: how much is left, and whether it is too little to begin a
 * copy, or to go on with one.
 */
#pragma once

#include "cache/pkgcache.h"

struct space {
    uint64_t total_bytes;
    uint64_t used_bytes;
    uint64_t free_bytes;   /* for this user */
    uint64_t total_inodes; /* 0: they are made as they are needed */
    uint64_t free_inodes;
};

enum { SPACE_REASON_MAX = 256 };

/** Measures how much room there is. @param fd any open file of the file system. @return 0 or -errno
 */
int space_measure(int fd, struct space *ret);

/**
 * Whether there is too little room.
 *
 * @param begun      for a copy that is under way, what it has written so far included; else: to
 *                   begin with one
 * @param ret_reason why, for people
 */
bool space_is_short(const struct space *space, const struct pkgcache_options *options, bool begun,
                    char ret_reason[static SPACE_REASON_MAX]);

/**
 * Whether there would be too little room when so much more is written.
 *
 * @param promised_bytes that others have begun to write, and still will
 * @param ret_reason     why, for people
 */
bool space_would_be_short(const struct space *space, const struct pkgcache_options *options,
                          uint64_t promised_bytes, uint64_t bytes, uint64_t inodes,
                          char ret_reason[static SPACE_REASON_MAX]);

/** Whether room may be short in a moment: look often. */
bool space_is_near(const struct space *space, const struct pkgcache_options *options);
