/* Whether what is supplied is a tree. */
#pragma once

#include "engine/supplied.h"

/**
 * Whether what the caller supplies is a tree that can be made. Finds the
 * directories, pieces and links.
 *
 * @param ret_entry which entry is wrong; NULL: none by itself
 * @param ret_why   static
 * @return          0; -EBADMSG; -ENOMEM
 */
int supply_check(struct supply *supply, const size_t *part_bytes, size_t part_count,
                 const struct copyengine_entry **ret_entry, const char **ret_why);
