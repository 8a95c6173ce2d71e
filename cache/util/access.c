/* The order of the questions is that of acl(5), "Access Check Algorithm". The format of the ACL is
 * that of linux/posix_acl_xattr.h: little-endian, whatever the machine is. */
#include "cache/util/access.h"

#include "engine/compiler.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <string.h>
#include <sys/xattr.h>

enum { ACL_BYTES_MAX = 65536 }; /* the kernel's XATTR_SIZE_MAX */

static bool is_in_group(const struct access_user *user, gid_t gid)
{
    for (size_t i = 0; i < user->group_count; i++)
        if (user->groups[i] == gid)
            return true;
    return false;
}

static bool permits_mode(const struct access_user *user, const struct stat *status, unsigned wanted)
{
    unsigned shift = user->uid == status->st_uid ? 6 : is_in_group(user, status->st_gid) ? 3 : 0;
    return (status->st_mode >> shift & wanted) == wanted;
}

/* What an ACL says of a user. */
struct verdict {
    bool decided; /* by an entry of the owner, or of a user */
    bool in_group;
    bool has_mask;
    unsigned user_bits; /* of that entry */
    bool is_owner;      /* which the mask does not limit */
    bool group_permits; /* one of the entries of the groups has all bits */
    unsigned other_bits;
    unsigned mask;
};

static void read_entry(const struct access_user *user, const struct stat *status,
                       const struct posix_acl_xattr_entry *entry, unsigned wanted,
                       struct verdict *verdict)
{
    unsigned bits = le16toh(entry->e_perm);
    uint32_t id = le32toh(entry->e_id);
    bool group = false;
    switch (le16toh(entry->e_tag)) {
    case ACL_USER_OBJ:
        if (user->uid == status->st_uid) /* no other entry matters */
            *verdict = (struct verdict){.decided = true, .is_owner = true, .user_bits = bits};
        break;
    case ACL_USER:
        if (id == user->uid && !verdict->decided) {
            verdict->decided = true;
            verdict->user_bits = bits;
        }
        break;
    case ACL_GROUP_OBJ:
        group = is_in_group(user, status->st_gid);
        break;
    case ACL_GROUP:
        group = is_in_group(user, id);
        break;
    case ACL_MASK:
        verdict->has_mask = true;
        verdict->mask = bits;
        break;
    case ACL_OTHER:
        verdict->other_bits = bits;
        break;
    default:
        break;
    }
    verdict->in_group = verdict->in_group || group;
    verdict->group_permits = verdict->group_permits || (group && (bits & wanted) == wanted);
}

bool access_is_permitted(const struct access_user *user, const struct stat *status, const void *acl,
                         size_t bytes, unsigned wanted)
{
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entry;
    struct verdict verdict = {.decided = false};
    if (bytes == 0)
        return permits_mode(user, status, wanted);
    if (bytes < sizeof(header) || (bytes - sizeof(header)) % sizeof(entry) != 0)
        return false;
    memcpy(&header, acl, sizeof(header));
    if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
        return false;
    for (size_t i = sizeof(header); i < bytes; i += sizeof(entry)) {
        memcpy(&entry, (const char *)acl + i, sizeof(entry));
        read_entry(user, status, &entry, wanted, &verdict);
    }
    unsigned mask = verdict.has_mask ? verdict.mask : ~0U;
    if (verdict.is_owner)
        return (verdict.user_bits & wanted) == wanted;
    if (verdict.decided)
        return (verdict.user_bits & mask & wanted) == wanted;
    if (verdict.in_group)
        return verdict.group_permits && (mask & wanted) == wanted;
    return (verdict.other_bits & wanted) == wanted;
}

bool access_is_permitted_on(const struct access_user *user, int fd, unsigned wanted)
{
    char path[32];
    struct stat status;
    CLEANUP_FREE void *acl = malloc(ACL_BYTES_MAX);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!acl || fstat(fd, &status) < 0)
        return false;
    ssize_t bytes = getxattr(path, "system.posix_acl_access", acl, ACL_BYTES_MAX);
    if (bytes < 0 && errno != ENODATA && errno != EOPNOTSUPP)
        return false;
    return access_is_permitted(user, &status, acl, bytes < 0 ? 0 : (size_t)bytes, wanted);
}
