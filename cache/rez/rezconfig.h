/*
 * rez's settings, with rez's precedence: built in, the files of REZ_CONFIG_FILE, ~/.rezconfig, then
 * REZ_KEY, else REZ_KEY_JSON (rez/config.py). Only the settings that matter for a cache are known
 * here; others are passed over, as rez passes over what it does not know.
 *
 *     rezconfig.c         which value counts
 *     rezconfig_file.c    one file
 *     rezconfig_merge.c   files on top of each other
 *     rezconfig_types.c   the settings, their types, and what variables say
 *     rezconfig_expand.c  $VARIABLE, ~ and {system.platform}
 *
 * Files are read when the first setting is asked for that no variable gives, and only once; rez
 * itself is started (rezpython.h) only for a setting that a file computes. Not for threads: a
 * config is one thread's at a time.
 */
#pragma once

#include "cache/json/json.h"

enum rezconfig_key {
    REZCONFIG_CACHE_PACKAGES_PATH,
    REZCONFIG_PACKAGE_CACHE_MAX_VARIANT_DAYS,
    REZCONFIG_PACKAGE_CACHE_CLEAN_LIMIT,
    REZCONFIG_PACKAGE_CACHE_LOG_DAYS,
    REZCONFIG_PACKAGE_CACHE_SPACE_BUFFER,
    REZCONFIG_PACKAGE_CACHE_USED_THRESHOLD,
    REZCONFIG_PACKAGE_CACHE_ASYNC,
    REZCONFIG_READ_PACKAGE_CACHE,
    REZCONFIG_WRITE_PACKAGE_CACHE,
    REZCONFIG_PACKAGE_CACHE_DURING_BUILD,
    REZCONFIG_PACKAGE_CACHE_LOCAL,
    REZCONFIG_PACKAGE_CACHE_SAME_DEVICE,
    REZCONFIG_DEFAULT_CACHABLE,
    REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE,
    REZCONFIG_DEFAULT_CACHABLE_PER_REPOSITORY,
    REZCONFIG_DEFAULT_RELOCATABLE,
    REZCONFIG_DEFAULT_RELOCATABLE_PER_PACKAGE,
    REZCONFIG_DEFAULT_RELOCATABLE_PER_REPOSITORY,
    REZCONFIG_PACKAGES_PATH,
    REZCONFIG_LOCAL_PACKAGES_PATH,
    REZCONFIG_TMPDIR,
    REZCONFIG_COUNT,
};

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

/** What a setting is called in rez's files. */
const char *rezconfig_name(enum rezconfig_key key);

/** The variable that gives a setting: REZ_KEY. The other one is called REZ_KEY_JSON. */
const char *rezconfig_variable(enum rezconfig_key key);

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
