/* Reading ACLs as the kernel has them (linux/posix_acl_xattr.h). */
#include "cache/packing/tar_acl.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

/* Libarchive's word for who an entry is about; 0: none. */
static int tag_of(unsigned tag)
{
    switch (tag) {
    case ACL_USER_OBJ:
        return ARCHIVE_ENTRY_ACL_USER_OBJ;
    case ACL_USER:
        return ARCHIVE_ENTRY_ACL_USER;
    case ACL_GROUP_OBJ:
        return ARCHIVE_ENTRY_ACL_GROUP_OBJ;
    case ACL_GROUP:
        return ARCHIVE_ENTRY_ACL_GROUP;
    case ACL_MASK:
        return ARCHIVE_ENTRY_ACL_MASK;
    case ACL_OTHER:
        return ARCHIVE_ENTRY_ACL_OTHER;
    default:
        return 0;
    }
}

static bool is_sound(const struct pack_xattr *xattr)
{
    struct posix_acl_xattr_header head;
    struct posix_acl_xattr_entry entry;
    if (xattr->length < sizeof(head) || (xattr->length - sizeof(head)) % sizeof(entry) != 0)
        return false;
    memcpy(&head, xattr->value, sizeof(head));
    if (le32toh(head.a_version) != POSIX_ACL_XATTR_VERSION)
        return false;
    for (size_t at = sizeof(head); at < xattr->length; at += sizeof(entry)) {
        memcpy(&entry, xattr->value + at, sizeof(entry));
        if (tag_of(le16toh(entry.e_tag)) == 0)
            return false;
    }
    return true;
}

bool tar_acl_add(const struct archive_library *library, struct archive_entry *entry,
                 const struct pack_xattr *xattr)
{
    bool access = strcmp(xattr->name, "system.posix_acl_access") == 0;
    if ((!access && strcmp(xattr->name, "system.posix_acl_default") != 0) || !is_sound(xattr))
        return false;
    int type = access ? ARCHIVE_ENTRY_ACL_TYPE_ACCESS : ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
    struct posix_acl_xattr_entry item;
    for (size_t at = sizeof(struct posix_acl_xattr_header); at < xattr->length;
         at += sizeof(item)) {
        memcpy(&item, xattr->value + at, sizeof(item));
        int tag = tag_of(le16toh(item.e_tag));
        bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
        library->entry_acl_add_entry(entry, type, le16toh(item.e_perm), tag,
                                     named ? (int)le32toh(item.e_id) : -1, NULL);
    }
    return true;
}
