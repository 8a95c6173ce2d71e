/*
 * What a directory is that somebody names: a repository, a package, or one version of it. Where no
 * repository of rez's packages_path is near, the names in definitions tell; one stray definition
 * makes no package of a whole repository.
 */
#pragma once

#include "cache/rez/rules.h"

enum repository_kind {
    REPOSITORY_WHOLE,   /* packages are in it */
    REPOSITORY_PACKAGE, /* versions are in it, or the definition of a package without */
    REPOSITORY_VERSION, /* the definition of a version is in it */
};

/** @param directory absolute, without links. @return what it is; REPOSITORY_WHOLE, if nothing tells
 */
enum repository_kind repository_kind_find(const struct rules *rules, const char *directory);
