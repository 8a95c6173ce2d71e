/*
 * What rez makes of the strings in a setting: variables, the home directory, and fields as in
 * {system.platform} (rez/utils/formatting.py, rez/utils/scope.py).
 */
#pragma once

#include "cache/rez/values.h"

/**
 * Copies a value, with the strings in it expanded. Names of members stay.
 *
 * @param ret_value owned by `values`
 * @return          0; -EINVAL: a field that rez refuses, or that only rez knows, and there is none
 * here; -ENOMEM
 */
int rezconfig_expand(const struct json *value, struct values *values, const struct json **ret_value,
                     struct pkgcache_error *ret_error);

/** Appends the user's home directory as Python's os.path.expanduser has it: HOME, else what the
 * system knows; else `~`. */
void rezconfig_append_home(struct text *text);

/** Appends the directory for temporary files, as Python's tempfile.gettempdir finds it. */
void rezconfig_append_tmpdir(struct text *text);
