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

/** Removes the directory and what is left in it. */
void staging_close(struct staging *staging);

/** Removes what says who owns a staging directory, if that is gone. */
void staging_forget(const struct pkgcache *cache, const char *id);

/** Writes a file with this text. @return 0 or -errno; nothing is left behind then */
int staging_write(const struct staging *staging, const char *name, const char *text, bool durable);
