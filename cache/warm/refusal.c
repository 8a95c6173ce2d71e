/*
 * Refusals, in rez's order, so that who has several reasons is told the one that rez would tell: a
 * root that is no directory (found out before), a package that is not cachable, a local one, one on
 * the cache's own device, one of a temporary repository. Whether a package is cachable its
 * definition says, which nothing here reads: who knows that such a package is not to be cached does
 * not ask for it.
 *
 * rez does not look whether root and cache contain each other, and copies until a path is too long.
 */
#include "cache/warm/refusal.h"

#include "engine/compiler.h"

#include <stdarg.h>
#include <string.h>

PRINTF_LIKE(3, 4)
static bool refuse(struct refusal *refusal, enum pkgcache_status status, const char *format, ...)
{
    va_list arguments;
    refusal->status = status;
    va_start(arguments, format);
    vsnprintf(refusal->reason, sizeof(refusal->reason), format, arguments);
    va_end(arguments);
    return true;
}

/* Whether `path` is `directory`, or below it. Both are canonical. */
static bool is_within(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    if (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Whether a root and the cache contain each other. */
static bool contain_each_other(const struct pkgcache *cache, const struct root_check *check,
                               struct refusal *ret)
{
    if (check->is_in_cache || is_within(check->resolved, cache->path))
        return refuse(ret, PKGCACHE_FAILED, "root %s is inside the cache %s", check->root,
                      cache->path);
    if (check->has_cache || is_within(cache->path, check->resolved))
        return refuse(ret, PKGCACHE_FAILED,
                      "root %s contains the cache %s, which would be copied into itself",
                      check->root, cache->path);
    return false;
}

bool refusal_find(const struct pkgcache *cache, const struct pkgcache_variant *variant,
                  const struct root_check *check, struct refusal *ret)
{
    const struct pkgcache_options *options = &cache->options;
    const char *location = variant->handle->location;
    if (check && contain_each_other(cache, check, ret))
        return true;
    if (variant->force)
        return false;
    if (options->local_packages_path && strcmp(location, options->local_packages_path) == 0)
        return refuse(ret, PKGCACHE_SKIPPED,
                      "the package is local: %s is the local_packages_path, and --local is no",
                      location);
    if (check && options->refuse_same_device && check->device == cache->device)
        return refuse(ret, PKGCACHE_SKIPPED,
                      "root %s is on the cache's own file system, and --same-device is no",
                      check->root);
    if (options->temporary_path && is_within(location, options->temporary_path) &&
        strcmp(location, options->temporary_path) != 0)
        return refuse(ret, PKGCACHE_SKIPPED,
                      "the package is in a temporary repository: %s is below the tmpdir %s",
                      location, options->temporary_path);
    return false;
}
