/* What the files of sources share. */
#pragma once

#include "cache/rez/sources.h"

/** JSON that names a variant, shortened for a message; allocated. */
char *sources_shorten(const char *text);

/** Adds a URI. @return 0, also when it is refused with a reason; -EINVAL: no URI; -ENOMEM */
int sources_add_uri(struct sources *sources, const char *uri, struct pkgcache_error *ret_error);

/** Adds a variant that was found in a repository. @return 0 or -ENOMEM */
int sources_add_found(struct sources *sources, const struct repository_variant *variant);

/** Adds something that is no variant, and why. @return 0 or -ENOMEM */
int sources_add_failure(struct sources *sources, const char *what, const char *reason);

/** Opens the repositories, unless they are open. @return 0 or -ENOMEM */
int sources_open_repositories(struct sources *sources, struct pkgcache_error *error);
