/* What a setting of rez is as a number, or as a path. */
#pragma once

#include "cache/json/json.h"

/** An integer setting as a number; the nearest one when it does not fit. */
int64_t rezconfig_integer(const struct json *value);

/** A real setting as a number; NaN and infinity are possible. */
double rezconfig_real(const struct json *value);

/**
 * A string setting as a path, in the bytes that the file system has.
 *
 * @return allocated; NULL: no string, no path (a surrogate that stands for no byte), or no memory
 */
char *rezconfig_path(const struct json *value);
