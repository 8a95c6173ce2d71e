/* POSIX ACLs as xattrs have them (acl(5), linux/posix_acl_xattr.h). Knows no files. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/**
 * What the mode of a file is to be when its access ACL is lost. The mode alone would open the file
 * to its group as far as the ACL opened it to anybody whom it names.
 *
 * @param acl  the value of system.posix_acl_access; anything
 * @param mode that the file has with it
 * @return     the mode, of which the group has no more than the ACL gave to it
 */
mode_t acl_narrow_mode(const void *acl, size_t length, mode_t mode);
