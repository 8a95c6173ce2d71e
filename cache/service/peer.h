/* Who is at the other end of a Unix socket, and what that may do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
    pid_t pid; /* as this process counts them; 0: not to be seen from here */
    uid_t uid;
    gid_t gid;
};

/** Who may use a daemon besides its own user and root. */
struct peer_rule {
    bool everybody;
    bool group; /* who is in `gid` */
    gid_t gid;
};

/** Reads "owner", "everybody", or the name or number of a group. @return 0; -ENOENT: no such group
 */
int peer_rule_read(const char *text, struct peer_rule *ret);

/** @return 0 or -errno */
int peer_read(int socket_fd, struct peer *ret);

/**
 * Reads the groups of a peer, the first of which is the one that it runs as.
 *
 * @param ret_groups allocated
 * @return           0 or -errno
 */
int peer_read_groups(int socket_fd, const struct peer *peer, gid_t **ret_groups, size_t *ret_count);

/** Whether a peer may ask at all. */
bool peer_may_ask(const struct peer_rule *rule, int socket_fd, const struct peer *peer);

/** Whether a peer is root, or the user that this process runs as. */
bool peer_is_owner(const struct peer *peer);
