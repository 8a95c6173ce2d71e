/*
 * How rez puts settings of one file on top of those of another: dicts merge, lists may be added to,
 * all else replaces (rez/utils/data_utils.py, deep_update and ModifyList). Values are not changed,
 * and are shared with what is made of them.
 */
#pragma once

#include "cache/rez/values.h"

/**
 * Puts one value on top of another.
 *
 * @param below     JSON_NULL: nothing
 * @param ret_value shares parts of both; owned by `values`
 * @return          0 or -ENOMEM
 */
int rezconfig_merge(const struct json *below, const struct json *above, struct values *values,
                    const struct json **ret_value);

/**
 * What ModifyList makes of a list.
 *
 * @param below           a list, or JSON_NULL for an empty one
 * @param prepend, append lists; NULL or JSON_NULL: nothing
 * @param ret_value       shares their items; owned by `values`
 * @return                0; -EINVAL: one of them is something else; -ENOMEM
 */
int rezconfig_modify(const struct json *below, const struct json *prepend,
                     const struct json *append, struct values *values,
                     const struct json **ret_value);
