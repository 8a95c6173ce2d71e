/* The way to a published manifest: the directories from the repository's to it. */
#pragma once

#include "cache/store/handle.h"
#include "cache/util/error.h"

#include <sys/stat.h>

enum { PUBLISHED_WAY_DIRECTORIES = 5 }; /* LOCATION, .pkgcache, manifests, NAME, VERSION */

/** What was found on the way. Starts as PUBLISHED_WAY_INIT. */
struct published_way {
    int fd;             /* the manifest, for reading */
    struct stat status; /* of it */
    struct stat directories[PUBLISHED_WAY_DIRECTORIES];
};

#define PUBLISHED_WAY_INIT \
    {                      \
        .fd = -1           \
    }

/** The path of a variant's manifest relative to its repository, allocated; NULL: no memory. */
char *published_way_name(const struct pkgcache_handle *handle);

/** The same with the repository's in front, for people. */
char *published_way_path(const struct pkgcache_handle *handle);

/**
 * Goes from the repository to a manifest, name by name, by descriptors, and follows no link.
 *
 * @param path for messages
 * @param ret  its descriptor is the caller's; -1 unless 0 is returned
 * @return     0; -ENOENT: there is none; -EPERM: there is a link, or something else that is no
 *             directory, or no regular file; -ENOMEM; or why it cannot be opened. The message names
 *             what is wrong
 */
int published_way_go(const struct pkgcache_handle *handle, const char *path,
                     struct published_way *ret, struct pkgcache_error *error);

/**
 * Judges whether only root and the owner of a payload can have written a manifest: it, and each
 * directory on the way, belongs to one of them, and nobody else may write to it. ACLs are judged by
 * the mode, whose bits of the group are their mask.
 *
 * @param owner of the payload's root
 * @return      0; -EPERM: the message names what is not so, and how to mend it
 */
int published_way_judge(const struct published_way *way, const struct pkgcache_handle *handle,
                        uid_t owner, struct pkgcache_error *error);
