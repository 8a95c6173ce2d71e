/* Taking out variants that are whole: evict.c says when that is safe. */
#pragma once

#include "cache/clean/cleaning.h"

/**
 * Looks at a slot that is no rubbish: takes it out when nobody has used it for too long, else
 * counts it, if sizes matter. Several threads may call it at once.
 *
 * @param path       of the hash directory
 * @param sidecar_fd of the slot
 * @return     0 or -errno, with the error set unless it is -ENOMEM
 */
int evict_if_unused(struct cleaning *cleaning, int hash_fd, const char *path, const char *name,
                    int sidecar_fd);

/**
 * When all slots are counted: takes out those that were not used for longest, until what is left is
 * no more than wanted.
 *
 * @return as cleaning_check(), or -errno
 */
int evict_for_size(struct cleaning *cleaning);
