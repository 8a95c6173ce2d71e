/* A staging directory: where one run prepares sidecars and trees before they are renamed. */
#pragma once

#include "cache/owner/owner.h"
#include "cache/store/cache.h"

enum { STAGING_ID_MAX = 64 };

/** Who owns the directory ID stands beside it, in the file ID.owner, which is there first and goes
 *  last. */
#define STAGING_OWNER_SUFFIX ".owner"

struct staging {
    struct pkgcache *cache;
    int fd;
    int owner_fd; /* touched along with the slots: the directory is in use */
    char id[STAGING_ID_MAX];
    struct owner owner;
};

/** Makes a staging directory that nobody else has. @return 0 or -errno; staging_close in any case
 */
int staging_open(struct pkgcache *cache, struct staging *ret);

/** The same under a name of the caller's, which nobody else uses: a directory that only this user
 * can enter, whatever the cache's mode is. */
int staging_open_private(struct pkgcache *cache, const char *id, struct staging *ret);

/** Removes the directory and what is left in it. */
void staging_close(struct staging *staging);

/** Leaves the directory as it is, for who looks for what was left behind: this process is to end.
 */
void staging_leave(struct staging *staging);

/** Removes what says who owns a staging directory, if that is gone. */
void staging_forget(const struct pkgcache *cache, const char *id);

/** Writes a file with this text. @return 0 or -errno; nothing is left behind then */
int staging_write(const struct staging *staging, const char *name, const char *text, bool durable);

/** @param id name in .sys/staging @param why for people; static @return 0: go on; else that is the
 * result */
typedef int staging_left_found(void *context, const char *id, const char *why);

/**
 * Finds what nobody needs any more: staging directories of processes that have ended, and what has
 * no owner. The callback may delete it, and ends with staging_forget then.
 *
 * @return 0, what the callback returned, or why staging cannot be read: -errno
 */
int staging_find_left(const struct pkgcache *cache, staging_left_found *found, void *context);

/**
 * Deletes what processes of this user have left behind (root: of all users), so that its room comes
 * back without a clean. What cannot be deleted stays; clean says why.
 *
 * @param cancel_fd readable: stop; -1: none
 */
void staging_sweep(struct pkgcache *cache, int cancel_fd);
