/*
 * rez's settings, with rez's precedence: built in, the files of REZ_CONFIG_FILE, ~/.rezconfig, then
 * REZ_KEY, else REZ_KEY_JSON (rez/config.py). Only the settings that matter for a cache are known
 * here; others are passed over, as rez passes over what it does not know.
 *
 *     rezconfig.c         which value counts
 *     rezconfig_file.c    one file
 *     rezconfig_merge.c   files on top of each other
 *     rezconfig_types.c   the settings, their types, and what variables say
 *     rezconfig_value.c   numbers and paths from what was found
 *     rezconfig_expand.c  $VARIABLE, ~ and {system.platform}
 *
 * Files are read when the first setting is asked for that no variable gives, and only once; rez
 * itself is started (rezpython.h) only for a setting that a file computes. Not for threads: a
 * config is one thread's at a time.
 */
#pragma once

#include "cache/rez/rezconfig_key.h"
#include "cache/rez/rezconfig_value.h"

#define REZCONFIG_BUILT_IN "built in" /* the origin of what nobody set */

struct rezconfig;

/** @param ret the caller ends it with rezconfig_free. @return 0 or -ENOMEM; reads nothing yet */
int rezconfig_new(struct rezconfig **ret);

/** NULL is fine. */
void rezconfig_free(struct rezconfig *config);

/**
 * What a setting is: checked and expanded as rez does.
 *
 * @param ret_value  owned by the config: of the type that the setting has, or JSON_NULL where rez
 *                   allows none. A real's text may also be "inf", "-inf" and "nan"; strings hold no
 *                   NUL
 * @param ret_origin where it comes from, for people: a variable, a file and its line, or
 *                   REZCONFIG_BUILT_IN; owned by the config; may be NULL
 * @return           0; -EINVAL: of the wrong type, or a file cannot be read (the message names
 *                   variable, or file and line); -ENOMEM
 */
int rezconfig_get(struct rezconfig *config, enum rezconfig_key key, const struct json **ret_value,
                  const char **ret_origin, struct pkgcache_error *ret_error);

/**
 * The same, where a package has settings of its own (its attribute `config`). These win over all
 * others, variables, too; dicts are merged into those of the files.
 *
 * @param package_config an object; NULL: as rezconfig_get
 */
int rezconfig_get_for_package(struct rezconfig *config, enum rezconfig_key key,
                              const struct json *package_config, const struct json **ret_value,
                              struct pkgcache_error *ret_error);
