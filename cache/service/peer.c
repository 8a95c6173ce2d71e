/* Peers: what the kernel says of them, SO_PEERCRED and SO_PEERGROUPS, unix(7). */
#include "cache/service/peer.h"

#include "engine/compiler.h"

#include <ctype.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>

enum { GROUPS_MAX = 1024 };

int peer_rule_read(const char *text, struct peer_rule *ret)
{
    *ret = (struct peer_rule){.everybody = strcmp(text, "everybody") == 0};
    if (ret->everybody || strcmp(text, "owner") == 0)
        return 0;
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    const struct group *group = getgrnam(text); /* before there are threads */
    bool is_number = isdigit((unsigned char)*text) && *end == '\0' && errno == 0;
    if (!group && (!is_number || number >= (gid_t)-1))
        return -ENOENT;
    ret->group = true;
    ret->gid = group ? group->gr_gid : (gid_t)number;
    return 0;
}

int peer_read(int socket_fd, struct peer *ret)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return -errno;
    *ret = (struct peer){credentials.pid, credentials.uid, credentials.gid};
    return 0;
}

int peer_read_groups(int socket_fd, const struct peer *peer, gid_t **ret_groups, size_t *ret_count)
{
    CLEANUP_FREE gid_t *groups = calloc(1 + GROUPS_MAX, sizeof(gid_t));
    socklen_t length = GROUPS_MAX * sizeof(gid_t);
    if (!groups)
        return -ENOMEM;
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &length) < 0)
        return -errno;
    groups[0] = peer->gid;
    *ret_count = 1 + length / sizeof(gid_t);
    *ret_groups = STEAL(groups);
    return 0;
}

static bool is_in_group(int socket_fd, const struct peer *peer, gid_t gid)
{
    CLEANUP_FREE gid_t *groups = NULL;
    size_t count = 0;
    if (peer_read_groups(socket_fd, peer, &groups, &count) < 0)
        return peer->gid == gid;
    for (size_t i = 0; i < count; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

bool peer_is_owner(const struct peer *peer)
{
    return peer->uid == 0 || peer->uid == geteuid();
}

bool peer_may_ask(const struct peer_rule *rule, int socket_fd, const struct peer *peer)
{
    if (peer_is_owner(peer) || rule->everybody)
        return true;
    return rule->group && is_in_group(socket_fd, peer, rule->gid);
}
