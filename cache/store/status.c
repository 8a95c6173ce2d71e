/* What people call a status. */
#include "cache/pkgcache.h"

#include "engine/compiler.h"

const char *pkgcache_status_name(int status)
{
    static const char *const names[] = {
        [PKGCACHE_NOT_FOUND] = "missing",    [PKGCACHE_FOUND] = "cached",
        [PKGCACHE_CREATED] = "created",      [PKGCACHE_COPYING] = "copying",
        [PKGCACHE_COPY_STALLED] = "stalled", [PKGCACHE_PENDING] = "pending",
        [PKGCACHE_REMOVED] = "removed",      [PKGCACHE_SKIPPED] = "skipped",
        [PKGCACHE_FAILED] = "failed",
    };
    if (status < 0)
        return names[PKGCACHE_FAILED];
    return (size_t)status < ARRAY_LENGTH(names) ? names[status] : "unknown";
}
