/* Loading libarchive. */
#include "cache/packing/archive.h"

#include <dlfcn.h>

/* Its interface has had that number since 2012 (libarchive 3.0). */
#define ARCHIVE_FILE "libarchive.so.13"

int archive_load(struct archive_library *ret, struct pkgcache_error *error)
{
    void *library = dlopen(ARCHIVE_FILE, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(error, ENOSYS, "packs need %s: %s", ARCHIVE_FILE, dlerror());
#define ARCHIVE_LOAD(name)                                   \
    *(void **)&ret->name = dlsym(library, "archive_" #name); \
    if (!ret->name)                                          \
        return error_set(error, ENOSYS, "packs need %s with archive_" #name, ARCHIVE_FILE);
    ARCHIVE_FUNCTIONS(ARCHIVE_LOAD)
#undef ARCHIVE_LOAD
    return 0;
}
