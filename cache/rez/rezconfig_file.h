/*
 * One settings file of rez: which one it is, YAML or Python, and what it says about the settings
 * that matter here. How files go together is rezconfig_merge.h's business.
 */
#pragma once

#include "cache/rez/rezconfig_types.h"

struct rezconfig_file;

/**
 * Reads a file. As in rez, one of the same name that ends in .py comes first, whatever the
 * extension; what is not there, or no regular file, is passed over.
 *
 * @param path as somebody named it
 * @param ret  receives the file, or NULL: there is none; the caller ends it with
 *             rezconfig_file_free
 * @return     0; -EINVAL: it cannot be read, or is neither YAML nor Python (the message names it,
 *             and the line); -ENOMEM
 */
int rezconfig_file_read(const char *path, struct rezconfig_file **ret,
                        struct pkgcache_error *ret_error);

/** The same for a text, as if it stood in a file of that name. */
int rezconfig_file_parse(const char *path, const char *bytes, size_t length,
                         struct rezconfig_file **ret, struct pkgcache_error *ret_error);

/** NULL is fine. */
void rezconfig_file_free(struct rezconfig_file *file);

/** Whether the file says something about a setting. */
bool rezconfig_file_has(const struct rezconfig_file *file, enum rezconfig_key key);

/** Whether what it says counts whatever the files before it say. */
bool rezconfig_file_replaces(const struct rezconfig_file *file, enum rezconfig_key key);

/**
 * Puts what the file says on top of what the files before it say. Starts rez for what is computed.
 *
 * @param below     JSON_NULL: nothing
 * @param ret_value shares with `below` and the file; owned by `values`
 * @return          0; -EINVAL: it cannot be known, or not be put on top of that; -ENOMEM
 */
int rezconfig_file_apply(struct rezconfig_file *file, enum rezconfig_key key,
                         const struct json *below, struct values *values,
                         const struct json **ret_value, struct pkgcache_error *ret_error);

/** Where a file says something about a setting, for people; owned by the file. */
const char *rezconfig_file_origin(const struct rezconfig_file *file, enum rezconfig_key key);
