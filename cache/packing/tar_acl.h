/* POSIX ACLs between their two forms: as the kernel has them, and as libarchive does. */
#pragma once

#include "cache/pack/pack.h"
#include "cache/packing/archive.h"

/**
 * Adds an ACL to an entry of an archive, which has its mode already.
 *
 * @return false: it is no ACL, or one that libarchive cannot have, and is an attribute as others
 */
bool tar_acl_add(const struct archive_library *library, struct archive_entry *entry,
                 const struct pack_xattr *xattr);
