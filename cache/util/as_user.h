/*
 * Doing something with another user's rights, and no more: in a child of root's that has become
 * that user. What the child does may hang, or be killed by that user; so who starts it waits with a
 * limit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** A child. Its socket keeps the bounds of messages (SOCK_SEQPACKET). */
struct as_user {
    pid_t pid;
    int socket; /* ours; at its end when the child has ended */
};

/**
 * Finds the groups of a user, the first of which is the one that new files get.
 *
 * @param ret_groups allocated
 * @return           0 or -errno
 */
int as_user_find_groups(uid_t uid, gid_t **ret_groups, size_t *ret_count);

/**
 * Starts a child with a user's ID and groups, without capabilities. It cannot be looked into by
 * that user, although it has this process's memory. All its signals are blocked.
 *
 * @param run    called in the child, which ends when it returns. `error`: 0; or an errno value: the
 *               child could not become that user, and still has the rights of root. `socket` is at
 *               its end when the child is to end early, also because this process has ended. Of the
 *               other descriptors only the standard ones are open
 * @param ret    ended with as_user_end
 * @return       0 or -errno
 */
int as_user_start(uid_t uid, void (*run)(void *context, int error, int socket), void *context,
                  struct as_user *ret);

/** Asks a child to end soon. Its socket can still be read. */
void as_user_cancel(const struct as_user *child);

/** Ends a child, by force unless it has ended. Waits no longer than two seconds. */
void as_user_end(struct as_user *child);
