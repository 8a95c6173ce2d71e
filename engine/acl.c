/* What an ACL says of the group of a file. */
#include "engine/acl.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>

mode_t acl_narrow_mode(const void *acl, size_t length, mode_t mode)
{
    struct posix_acl_xattr_entry entry;
    for (size_t at = sizeof(struct posix_acl_xattr_header); at + sizeof(entry) <= length;
         at += sizeof(entry)) {
        memcpy(&entry, (const char *)acl + at, sizeof(entry));
        if (le16toh(entry.e_tag) == ACL_GROUP_OBJ)
            mode &= ~(mode_t)S_IRWXG | (mode_t)le16toh(entry.e_perm) * (S_IXGRP / S_IXOTH);
    }
    return mode;
}
