/* What people call a status, and what programs are answered. */
#include "cache/store/status.h"

#include "engine/compiler.h"

const char *pkgcache_status_name(enum pkgcache_status status)
{
    static const char *const names[] = {
        [PKGCACHE_NOT_FOUND] = "missing",    [PKGCACHE_FOUND] = "cached",
        [PKGCACHE_CREATED] = "created",      [PKGCACHE_COPYING] = "copying",
        [PKGCACHE_COPY_STALLED] = "stalled", [PKGCACHE_PENDING] = "pending",
        [PKGCACHE_REMOVED] = "removed",      [PKGCACHE_SKIPPED] = "skipped",
        [PKGCACHE_FAILED] = "failed",
    };
    return (size_t)status < ARRAY_LENGTH(names) ? names[status] : "unknown";
}

int status_answer(int status, enum pkgcache_status success, enum pkgcache_status *ret_status)
{
    if (ret_status)
        *ret_status = status < 0 ? PKGCACHE_FAILED : (enum pkgcache_status)status;
    return status < 0 ? status : status == (int)success;
}
