/* Members of an object that have the same name. */
#pragma once

#include "cache/json/json_value.h"

/**
 * For who builds an object: of members with the same name the last one's value stays, in the place
 * of the first, as in a Python dict.
 *
 * @param count of its members
 * @return      0 or -ENOMEM
 */
int json_merge_members(struct json *object, size_t count);
