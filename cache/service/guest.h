/*
 * What other users may have copied by us: clients of the daemon, and whoever puts something into
 * rez's queue.
 */
#pragma once

#include "cache/rez/rezconfig.h"
#include "cache/store/pending.h"
#include "cache/util/access.h"

/** Whether a directory is among those of a list with colons between them; links count as what they
 * lead to. */
bool guest_is_listed(const char *location, const char *list);

/**
 * Goes the way from / to a directory, and asks of each directory whether the user may pass it, and
 * of the last whether the user may read it.
 *
 * @param path absolute; links are not followed
 * @return     a descriptor of the last, opened with O_PATH; -1: it is closed, or there is none
 */
int guest_walk(const struct access_user *user, const char *path);

/**
 * Whether an entry of rez's queue was written by root or by this user, and by nobody else. In a
 * queue that others may write to, its owner does not prove that: a file of ours may have been moved
 * there.
 */
bool guest_is_none(const struct pending *pending, const struct pending_entry *entry);

/**
 * Whether we look for what another user has queued: only in repositories of rez's packages_path. In
 * others the definition, which rez may run with our rights, might be that user's.
 *
 * @param config rez's settings, which are ours
 * @return       1; 0; or -errno
 */
int guest_may_queue(const struct pending_entry *entry, struct rezconfig *config,
                    struct pkgcache_error *ret_error);

/** Whether another user, who has queued an entry, may read its root. @return 1; 0; or -ENOMEM */
int guest_may_read(const struct pending_entry *entry, const char *root);
