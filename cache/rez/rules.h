/*
 * By which of its settings rez finds packages in a repository: where repositories begin, what the
 * files of definitions are called, and whether a package may do without versions. Read once.
 */
#pragma once

#include "cache/rez/rezconfig.h"

#include <stdbool.h>
#include <stddef.h>

/** Starts as `struct rules rules = {0};`, which is what rez has built in, without repositories. */
struct rules {
    char **repositories; /* rez's packages_path, in its order, links followed */
    size_t repository_count;
    char **names; /* of definitions, without `.py` and `.yaml`; none: "package" */
    size_t name_count;
    char *lock_directory;    /* rez's file_lock_dir: no package in a repository; NULL: none */
    bool versions_only;      /* allow_unversioned_packages is off */
    bool checks_definitions; /* check_package_definition_files is on */
};

/**
 * Reads them.
 *
 * @param ret freed with rules_free, whatever is returned
 * @return    0; -EINVAL: a setting is wrong; -ENOMEM
 */
int rules_read(struct rezconfig *config, struct rules *ret, struct pkgcache_error *ret_error);

/** Reads only what the files of definitions are called. @return as rules_read */
int rules_read_names(struct rezconfig *config, struct rules *ret, struct pkgcache_error *ret_error);

void rules_free(struct rules *rules);

/** Whether a repository of packages_path begins at a path, in which no links are left. */
bool rules_have_repository(const struct rules *rules, const char *path);

/**
 * Finds the definition in a directory: the first that is a file, in rez's order.
 *
 * @param ret_path allocated; NULL: there is none, or it is not wanted
 * @return         whether there is one; false, too, without memory
 */
bool rules_find_definition(const struct rules *rules, const char *directory, char **ret_path);

/** Whether a name is one that rez has for packages: what a family's directory may be called. */
bool rules_is_package_name(const char *name);

/**
 * Why rez does not see a package, in words that follow its directory.
 *
 * @param family  the directory of the package
 * @param version NULL: the package has none
 * @return        NULL: rez sees it, as far as names tell; else a static text
 */
const char *rules_hide(const struct rules *rules, const char *family, const char *version);
